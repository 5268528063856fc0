# METADATA
# title: What may go to a partner
# description: |
#   `decision` answers a request for figures of one indicator, `include` says which cells of the answer may go. Input:
#
#     {"state": "us", "partner": "gb", "direction": "send",
#      "dataflow": "COMITY:BORDER(1.0.0)", "indicator": "1A",
#      "source": "eu",                                          whose figures are to be passed on; absent: this state's own
#      "purpose": "risk analysis",                              "": any that was agreed
#      "date": "2026-03-01",                                    the day on which it is decided
#      "requested": {"SECTION": [{"code": "EL_PASO", "level": "section"}]},   {}: all that may go
#      "cell": {"SECTION": "EL_PASO", …}}                       for `include` only, where it is unknown
#
#   The partner may be an agency of this state, "us/border-force", and the provider another one, which gives figures of the
#   dataflows that data.agencies says it has (see comity.access.view), and of no others.
#
#   The service supplies data.agreements = {partner: {indicator: [terms…]}}, the terms of agreements that both states
#   signed and neither ended, in which this state is the provider; fields as in comity.sharing.v1.Terms, in JSON. It
#   also supplies data.levels (see comity.detail), and data.grants = {source: {indicator: [terms…]}}, the terms under which
#   others let this state pass their figures on. The law (see comity.law) binds on top of every agreement.
#
#   What another state gave goes only where both agreements want it: the one with the partner, which names the source, and the
#   one with the source, which names the partner.
package comity.exchange

import data.comity.detail
import data.comity.law

# METADATA
# description: |
#   The answer:
#
#     {"allow": true,
#      "reasons": [{"code": "INDICATOR_NOT_COVERED", "text": "…", "agreement": "us-gb-1a"}…],   why not
#      "agreement": {"id": "us-gb-1a", "version": 1},             null where not allowed, as is obligations
#      "detail": {"FREQ": "M", "SECTION": "_T", …},               the detail that goes, for every dimension that has one
#      "obligations": {"tier": "PARTNERS", "minimumFrequency": 3, "relativeWidth": 0.2, "minimumKept": 0, "decimals": 0,
#                      "dominance": null, "pPercent": null,      as law.obligations has them
#                      "purposes": […], "retentionDays": 0, "onward": false},
#      "periods": [{"from": "2024-01", "to": "2024-12"}]}         whose figures go; an end may be missing; []: all
#
#   Where several agreements allow it, the one whose id comes first counts, in its highest version. All agreements with
#   a partner are of one clearance tier: what it gets under one, it reads beside what it gets under another.
# entrypoint: true
decision := {
	"allow": true,
	"reasons": [],
	"agreement": {"id": chosen.id, "version": chosen.version},
	"detail": {dimension: level |
		some dimension in detail.dimensions
		level := detail.agreed(object.get(chosen, "detail", {}), dimension)
	},
	"obligations": object.union(protection(chosen), {
		"purposes": purposes(chosen),
		"retentionDays": object.get(chosen, "retentionDays", 0),
		"onward": object.get(chosen, "onward", false),
	}),
	"periods": object.get(chosen, "periods", []),
} if allowed

decision := {
	"allow": false,
	"reasons": [reason | some reason in reasons],
	"agreement": null,
	"detail": {},
	"obligations": null,
} if {
	input.direction == "send"
	count(reasons) > 0
}

# METADATA
# description: Whether a cell of an allowed request may go; a condition on rows, when input.cell is unknown.
# entrypoint: true
include if {
	allowed
	every exclusion in law.excluded {
		some component, codes in exclusion
		not input.cell[component] in codes
	}
}

# METADATA
# description: Nothing speaks against it, and there is an agreement under which it can be protected.
allowed if {
	input.direction == "send"
	count(reasons) == 0
	protection(chosen)
}

agreements := {terms | some terms in data.agreements[input.partner][_]}

agreed if some _ in data.agreements[input.partner][_]

covering := {terms |
	some terms in data.agreements[input.partner][input.indicator]
	covers(terms)
}

suitable := {terms |
	some terms in covering
	in_force(terms)
	for_purpose(terms)
	count(detail.finer(object.get(terms, "detail", {}), input.requested)) == 0
}

chosen := sort([[terms.id, 0 - terms.version, terms] | some terms in suitable])[0][2]

# METADATA
# description: How figures under the terms are protected; of the terms, only the minimum frequency counts.
protection(terms) := law.obligations(tier(terms), {"minimumFrequency": object.get(terms, "minimumFrequency", 0)})

# METADATA
# description: The clearance tier of the terms; in older ones it is not named.
tier(terms) := object.get(terms, "tier", "PARTNERS")

covers(terms) if {
	provides(terms)
	terms.receiver == input.partner
	terms.dataflow == input.dataflow
	input.indicator in terms.indicators
	about(terms)
}

# METADATA
# description: The terms are about figures of the source that is asked about; of this state's own, where none is.
about(terms) if terms.source == input.source

about(terms) if {
	object.get(terms, "source", "") == ""
	not input.source
}

# METADATA
# description: Agreements in force by which the source lets this state pass the indicator on under the terms.
grants(terms) := {grant |
	some grant in data.grants[input.source][input.indicator]
	grant.provider == input.source
	grant.receiver == input.state
	grant.onward == true
	input.partner in grant.onwardTo
	input.indicator in grant.indicators
	in_force(grant)
	tier(grant) == tier(terms)
	bound(grant, terms)
}

# METADATA
# description: Whoever gets figures passed on is bound to the purposes that they were given for.
bound(grant, _) if count(purposes(grant)) == 0

bound(grant, terms) if {
	count(purposes(terms)) > 0
	every purpose in purposes(terms) {
		purpose in purposes(grant)
	}
}

# METADATA
# description: The figures are this state's to give, or those of the agency that signed for them.
provides(terms) if terms.provider == input.state

provides(terms) if {
	some agency, has in data.agencies
	terms.provider == sprintf("%s/%s", [input.state, agency])
	split(terms.dataflow, "(")[0] in has.provides
}

in_force(terms) if {
	terms.validFrom <= input.date
	last_day(terms) >= input.date
}

# A day after all days, for what has no end.
last_day(terms) := "9999-12-31" if object.get(terms, "validTo", "") == ""

last_day(terms) := terms.validTo if terms.validTo != ""

for_purpose(terms) if input.purpose in purposes(terms)

for_purpose(_) if input.purpose == ""

purposes(terms) := list if {
	list := object.get(terms, "purposes", [])
	is_array(list)
}

purposes(terms) := [] if object.get(terms, "purposes", []) == null

# METADATA
# description: There is no agreement at all with the partner.
reasons contains reason if {
	not agreed
	reason := {
		"code": "NO_AGREEMENT",
		"text": sprintf("no agreement is in force under which figures go to %s", [input.partner]),
		"agreement": "",
	}
}

# METADATA
# description: There are agreements, and none covers the indicator in the dataflow.
reasons contains reason if {
	count(covering) == 0
	some terms in agreements
	reason := {
		"code": "INDICATOR_NOT_COVERED",
		"text": sprintf("agreement %s covers %s of %s, not %s of %s", [
			terms.id, concat(", ", sort(terms.indicators)), terms.dataflow, input.indicator, input.dataflow,
		]),
		"agreement": terms.id,
	}
}

# METADATA
# description: The agreement has not begun, or is over.
reasons contains reason if {
	count(suitable) == 0
	some terms in covering
	not in_force(terms)
	reason := {
		"code": "EXPIRED",
		"text": sprintf("agreement %s is in force from %s to %s", [terms.id, terms.validFrom, last_day(terms)]),
		"agreement": terms.id,
	}
}

# METADATA
# description: The agreement is for other purposes.
reasons contains reason if {
	count(suitable) == 0
	some terms in covering
	not for_purpose(terms)
	reason := {
		"code": "PURPOSE",
		"text": sprintf("agreement %s is for %s, not for %s", [
			terms.id, concat(", ", sort(purposes(terms))), input.purpose,
		]),
		"agreement": terms.id,
	}
}

# METADATA
# description: The agreement covers less detail than asked for.
reasons contains reason if {
	count(suitable) == 0
	some terms in covering
	some item in detail.finer(object.get(terms, "detail", {}), input.requested)
	reason := {
		"code": "DETAIL_NOT_COVERED",
		"text": sprintf("%s: agreement %s covers detail to %q; %q is of %q", [
			item.dimension, terms.id, item.agreed, item.code, item.level,
		]),
		"agreement": terms.id,
	}
}

# METADATA
# description: The state whose figures they are has not let them be passed on to the partner.
reasons contains reason if {
	input.source
	some terms in suitable
	count(grants(terms)) == 0
	reason := {
		"code": "ONWARD_NOT_GRANTED",
		"text": sprintf("no agreement with %s lets its %s be passed on to %s under %s", [
			input.source, input.indicator, input.partner, terms.id,
		]),
		"agreement": terms.id,
	}
}

# METADATA
# description: This state's own law forbids it.
reasons contains reason if {
	some rule in law.deny
	reason := {"code": rule.code, "text": rule.text, "agreement": ""}
}

# METADATA
# description: The law asks for dominance, or p %, by two dimensions at once, which nobody can keep.
reasons contains reason if {
	some terms in [chosen]
	not protection(terms)
	reason := {
		"code": "LAW",
		"text": "the law tells contributions to one figure by several dimensions, which cannot be done",
		"agreement": "",
	}
}

# METADATA
# description: The agreements with the partner are of several tiers, so that nobody can say what it has seen.
reasons contains reason if {
	tiers := {tier(terms) | some terms in data.agreements[input.partner][_]}
	count(tiers) > 1
	reason := {
		"code": "POLICY_ERROR",
		"text": sprintf("the agreements with %s are of several clearance tiers: %s", [
			input.partner, concat(", ", sort(tiers)),
		]),
		"agreement": "",
	}
}
