# METADATA
# title: Who may have tables with noise, and of what
# description: |
#   `decision` answers a request for a table of counts to which noise is added. Whoever has one of data.cells.roles may ask
#   for any detail. Anybody else gets tables of the indicators of data.cells.public, in no finer detail than may be
#   published (see comity.publication). Nothing is asked of agreements: a table goes to no partner.
#
#   Noise is no way around the law. Where it excludes cells, the public gets no table that tells such cells apart from
#   others: the difference from a total would be nearly the figure.
#
#   Input:
#
#     {"state": "us", "partner": "", "direction": "publish", "dataflow": "COMITY:BORDER(1.0.0)", "indicator": "1A",
#      "date": "2026-03-01",
#      "requested": {"FREQ": [{"code": "M", "level": ""}], "SEX": [{"code": "_T", "level": "total"}], …},
#      "person": {"roles": ["analyst"]}}                                             null: there is no token
#
#   `requested` has every dimension, of REF_AREA every code, of others at least one code of each level.
package comity.cells

import data.comity.law
import data.comity.publication

# METADATA
# description: |
#   The answer: {"allow", "reasons": [{"code", "text", "agreement": ""}…], "perturbation": {"maximum", "variance",
#   "smallestReleased", "stayProbability", "monotone"}, "rounding": 0, 3 or 5, "budget": {"cells", "hours"}}; where it is not
#   allowed, only the first two.
# entrypoint: true
decision := {
	"allow": true,
	"reasons": [],
	"perturbation": perturbation,
	"rounding": data.cells.rounding[audience],
	"budget": data.cells.budget[audience],
} if {
	input.direction == "publish"
	is_string(input.dataflow)
	is_string(input.indicator)
	is_object(input.requested)
	count(reasons) == 0
}

decision := {"allow": false, "reasons": [reason | some reason in reasons]} if {
	input.direction == "publish"
	count(reasons) > 0
}

audience := "public" if input.person == null

audience := "person" if is_array(input.person.roles)

perturbation := data.cells.perturbation.indicators[input.indicator]

perturbation := data.cells.perturbation["default"] if not data.cells.perturbation.indicators[input.indicator]

# METADATA
# description: No tables are made of the dataflow.
reasons contains {
	"code": "INDICATOR_NOT_COVERED",
	"text": sprintf("no tables are made of %s", [input.dataflow]),
	"agreement": "",
} if {
	not input.dataflow in data.cells.dataflows
}

# METADATA
# description: None of the caller's roles may ask.
reasons contains {"code": "ACCESS_DENIED", "text": "your roles may not ask for tables", "agreement": ""} if {
	audience == "person"
	every role in input.person.roles {
		not role in data.cells.roles
	}
}

# METADATA
# description: The public gets no tables of the indicator.
reasons contains {
	"code": "INDICATOR_NOT_COVERED",
	"text": sprintf("no tables of indicator %s are made for everybody", [input.indicator]),
	"agreement": "",
} if {
	audience == "public"
	not input.indicator in data.cells.public
}

# METADATA
# description: To the public, what may not be published is not told with noise either.
reasons contains reason if {
	audience == "public"
	some reason in publication.decision.reasons
}

reasons contains {"code": "POLICY_ERROR", "text": "policy says nothing of publishing this", "agreement": ""} if {
	audience == "public"
	not publication.decision.allow
	count(object.get(publication, ["decision", "reasons"], [])) == 0
}

# METADATA
# description: The law excludes cells that the table would tell apart.
reasons contains {
	"code": "LAW",
	"text": sprintf("the law excludes figures by %s; ask for their total alone", [concat(", ", object.keys(exclusion))]),
	"agreement": "",
} if {
	audience == "public"
	some exclusion in law.excluded
	every component, codes in exclusion {
		concerned(component, codes)
	}
}

# METADATA
# description: The law wants larger figures to be kept from the public than the noise does.
reasons contains {
	"code": "LAW",
	"text": sprintf("the law has figures below %d withheld, and the noise those up to %d", [least, perturbation.smallestReleased]),
	"agreement": "",
} if {
	audience == "public"
	least := law.obligations("PUBLIC", {}).minimumFrequency
	perturbation.smallestReleased < least - 1
}

# Whether cells with one of the codes are asked for, or others beside them from which they follow. A component that is no
# dimension may be anything.
concerned(component, _) if not input.requested[component]

concerned(component, codes) if {
	component in data.detail.identity
	some item in input.requested[component]
	item.code in codes
}

concerned(component, _) if {
	not component in data.detail.identity
	some item in input.requested[component]
	item.code != "_T"
}

concerned(component, codes) if {
	"_T" in codes
	some item in input.requested[component]
	item.code == "_T"
}
