# METADATA
# title: What may be published
# description: |
#   `decision` answers a request to show figures of one indicator to everybody. Nothing is published that
#   data.publication.indicators does not name; a state names its own in publication/data.yaml of its directory:
#
#     indicators:
#       1A: {detail: {FREQ: M, CITIZENSHIP: region}, minimumFrequency: 10}
#
#   with relativeWidth, minimumKept, decimals, dominance and pPercent beside minimumFrequency where it asks for more than the law
#   (see law.obligations), and with dataflow where that is not data.publication.dataflow. What is published is of the tier
#   PUBLIC.
#
#   Input:
#
#     {"state": "us", "partner": "", "direction": "publish", "dataflow": "COMITY:BORDER(1.0.0)", "indicator": "1A",
#      "date": "2026-03-01", "requested": {"CITIZENSHIP": [{"code": "VEN", "level": "country"}]}}
#
#   The service supplies data.levels (see comity.detail). The law (see comity.law) binds on top.
package comity.publication

import data.comity.detail
import data.comity.law

# METADATA
# description: |
#   The answer: {"allow", "reasons": [{"code", "text", "agreement": ""}…], "detail": {dimension: level},
#   "obligations": {"tier": "PUBLIC", "minimumFrequency": 10, …}}, as law.obligations has them; where it is not allowed,
#   detail is empty and obligations null.
# entrypoint: true
decision := {
	"allow": true,
	"reasons": [],
	"detail": {dimension: level |
		some dimension in detail.dimensions
		level := detail.agreed(rule.detail, dimension)
	},
	"obligations": law.obligations("PUBLIC", rule),
} if {
	input.direction == "publish"
	input.dataflow == dataflow
	is_object(input.requested)
	count(reasons) == 0
}

decision := {"allow": false, "reasons": [reason | some reason in reasons], "detail": {}, "obligations": null} if {
	input.direction == "publish"
	count(reasons) > 0
}

# METADATA
# description: Whether a cell of an allowed publication may be shown; a condition on rows, when input.cell is unknown.
# entrypoint: true
include if {
	decision.allow
	every exclusion in law.excluded {
		some component, codes in exclusion
		not input.cell[component] in codes
	}
}

rule := data.publication.indicators[input.indicator]

# METADATA
# description: The indicator is not among those that are published.
reasons contains reason if {
	not rule
	reason := {
		"code": "INDICATOR_NOT_COVERED",
		"text": sprintf("indicator %s is not published", [input.indicator]),
		"agreement": "",
	}
}

# METADATA
# description: The indicator is published, but of another dataflow.
reasons contains reason if {
	input.dataflow != dataflow
	reason := {
		"code": "INDICATOR_NOT_COVERED",
		"text": sprintf("indicator %s is published of %s, not of %s", [input.indicator, dataflow, input.dataflow]),
		"agreement": "",
	}
}

# METADATA
# description: The dataflow that an indicator is published of.
dataflow := object.get(rule, "dataflow", data.publication.dataflow)

# METADATA
# description: The indicator is published in less detail than asked for.
reasons contains reason if {
	some item in detail.finer(rule.detail, input.requested)
	reason := {
		"code": "DETAIL_NOT_COVERED",
		"text": sprintf("%s is published in detail to %q; %q is of %q", [
			item.dimension, item.agreed, item.code, item.level,
		]),
		"agreement": "",
	}
}

# METADATA
# description: This state's own law forbids it.
reasons contains reason if {
	some denial in law.deny
	reason := {"code": denial.code, "text": denial.text, "agreement": ""}
}

# METADATA
# description: Law and publication ask for dominance, or p %, by two dimensions at once, which nobody can keep.
reasons contains reason if {
	some publication in [rule]
	not law.obligations("PUBLIC", publication)
	reason := {
		"code": "LAW",
		"text": "contributions to one figure are told by several dimensions, which cannot be done",
		"agreement": "",
	}
}
