# METADATA
# title: What we accept from a partner
# description: |
#   `decision` says whether a batch that a partner signed becomes data here. It trusts nothing that the sender's own
#   policy should have seen to. Input:
#
#     {"state": "gb", "sender": "us", "refAreas": ["US"],        the reference areas of the state whose figures they are
#      "date": "2026-03-01",                                     the day on which it is decided
#      "header": {"agreement": "us-gb-1a", "version": 1, "dataflow": "COMITY:BORDER(1.0.0)"},
#      "agreement": {…},                                         the terms under that id; null: there are none
#      "summary": {"refAreas": ["US"], "indicators": ["1A"],     what the rows hold, each value once
#                  "components": ["FREQ", …], "unknownCodes": ["CITIZENSHIP=ZZZ"],
#                  "frequencies": ["M"], "finest": {"CITIZENSHIP": "country", "SEX": "_T"},   a level or a list of them
#                  "minimum": 3},                                the smallest count above 0; 0: there is none
#      "warrant": {"provider": "eu", "agreement": {…},            of figures that the sender passes on: whose they are, and by
#                 "takenBack": false}}                           which terms; absent: they are the sender's own
#
#   That the provider has signed these figures and these terms was verified before.
#   The service supplies data.levels (see comity.detail).
package comity.receive

import data.comity.detail

# METADATA
# description: |
#   The answer, {"allow": true, "reasons": [{"code": "RECEIVE_REFUSED", "text": "…", "agreement": "us-gb-1a"}…]}. It is
#   undefined for an input that lacks a part, which is a refusal.
# entrypoint: true
decision := {"allow": count(reasons) == 0, "reasons": [reason | some reason in reasons]} if complete

complete if {
	is_string(input.state)
	is_string(input.sender)
	is_string(input.date)
	is_array(input.refAreas)
	is_string(input.header.agreement)
	is_number(input.header.version)
	is_string(input.header.dataflow)
	is_array(input.summary.refAreas)
	is_array(input.summary.indicators)
	is_array(input.summary.components)
	is_array(input.summary.unknownCodes)
	is_array(input.summary.frequencies)
	every level in input.summary.finest {
		count(levels_of(level)) > 0
	}
	is_number(input.summary.minimum)
	agreement_or_null
}

levels_of(level) := [level] if is_string(level)

levels_of(levels) := levels if is_array(levels)

agreement_or_null if input.agreement == null

agreement_or_null if is_object(input.agreement)

refused(text) := {"code": "RECEIVE_REFUSED", "text": text, "agreement": input.header.agreement}

# METADATA
# description: There is no agreement under that id.
reasons contains reason if {
	input.agreement == null
	reason := {
		"code": "NO_AGREEMENT",
		"text": sprintf("no agreement %s is in force with %s", [input.header.agreement, input.sender]),
		"agreement": input.header.agreement,
	}
}

# METADATA
# description: The agreement is not the one that the header names, or not in this direction.
reasons contains refused("the header names another agreement, version, direction or dataflow") if {
	is_object(input.agreement)
	not is_meant
}

is_meant if {
	input.agreement.id == input.header.agreement
	input.agreement.version == input.header.version
	input.agreement.dataflow == input.header.dataflow
	input.agreement.provider == input.sender
	input.agreement.receiver == input.state
}

# METADATA
# description: Figures of a third state come only if it lets the sender pass them on to this one.
reasons contains reason if {
	is_object(input.agreement)
	passed_on
	not granted
	reason := {
		"code": "ONWARD_NOT_GRANTED",
		"text": sprintf("nothing lets %s pass these figures on under agreement %s", [input.sender, input.header.agreement]),
		"agreement": input.header.agreement,
	}
}

passed_on if input.warrant

passed_on if object.get(input.agreement, "source", "") != ""

granted if {
	is_grant
	input.warrant.takenBack == true
	count(input.summary.indicators) == 0
}

granted if {
	is_grant
	input.warrant.takenBack == false
	grant := input.warrant.agreement
	grant.onward == true
	input.state in grant.onwardTo
	grant.validFrom <= input.date
	ends_no_sooner(grant)
	object.get(grant, "tier", "PARTNERS") == object.get(input.agreement, "tier", "PARTNERS")
	every indicator in input.summary.indicators {
		indicator in grant.indicators
	}
	counts_enough(grant)
	fine_enough(grant)
}

# METADATA
# description: The terms shown are those of the state whose figures the agreement is about, with who passes them on.
is_grant if {
	input.warrant.provider == input.agreement.source
	input.warrant.agreement.provider == input.warrant.provider
	input.warrant.agreement.receiver == input.sender
}

ends_no_sooner(grant) if object.get(grant, "validTo", "") == ""

ends_no_sooner(grant) if grant.validTo >= input.date

counts_enough(_) if input.summary.minimum == 0

counts_enough(grant) if input.summary.minimum >= grant.minimumFrequency

fine_enough(grant) if {
	every frequency in input.summary.frequencies {
		detail.within(grant.detail, "FREQ", frequency)
	}
	every dimension, finest in object.remove(input.summary.finest, array.concat(data.detail.identity, ["FREQ"])) {
		every level in levels_of(finest) {
			detail.within(grant.detail, dimension, level)
		}
	}
}

# METADATA
# description: The agreement has not begun, or is over.
reasons contains reason if {
	is_object(input.agreement)
	not in_force
	reason := {
		"code": "EXPIRED",
		"text": sprintf("agreement %s is not in force on %s", [input.header.agreement, input.date]),
		"agreement": input.header.agreement,
	}
}

in_force if {
	input.agreement.validFrom <= input.date
	not_over
}

not_over if object.get(input.agreement, "validTo", "") == ""

not_over if input.agreement.validTo >= input.date

# METADATA
# description: A sender reports for itself, and for whom it declared; for nobody else.
reasons contains refused(sprintf("%s does not speak for reference area %s", [input.sender, area])) if {
	some area in input.summary.refAreas
	not area in input.refAreas
}

# METADATA
# description: Only agreed indicators are accepted.
reasons contains reason if {
	is_object(input.agreement)
	some indicator in input.summary.indicators
	not indicator in input.agreement.indicators
	reason := {
		"code": "INDICATOR_NOT_COVERED",
		"text": sprintf("agreement %s does not cover indicator %s", [input.header.agreement, indicator]),
		"agreement": input.header.agreement,
	}
}

# METADATA
# description: A count under the agreed minimum could be about somebody.
reasons contains refused(sprintf("a cell counts %v, under the minimum", [input.summary.minimum])) if {
	is_object(input.agreement)
	not large_enough
}

large_enough if input.summary.minimum == 0

large_enough if {
	input.summary.minimum > 0
	input.summary.minimum >= object.get(input.agreement, "minimumFrequency", 0)
}

# METADATA
# description: A component outside the structure could say who somebody is.
reasons contains refused(sprintf("component %s is not of the structure", [component])) if {
	some component in input.summary.components
	not known(component)
}

known(component) if data.levels[component]

known(component) if component in data.receive.components

# METADATA
# description: A code that the codelists do not have means nothing here.
reasons contains refused(sprintf("code %s is unknown", [code])) if some code in input.summary.unknownCodes

# METADATA
# description: Figures come no more often than agreed.
reasons contains too_fine("FREQ", frequency) if {
	is_object(input.agreement)
	some frequency in input.summary.frequencies
	not detail.within(input.agreement.detail, "FREQ", frequency)
}

# METADATA
# description: Figures come in no finer detail than agreed.
reasons contains too_fine(dimension, level) if {
	is_object(input.agreement)
	some dimension, finest in input.summary.finest
	dimension != "FREQ" # its codes are in frequencies
	not dimension in data.detail.identity
	some level in levels_of(finest)
	not detail.within(input.agreement.detail, dimension, level)
}

too_fine(dimension, level) := {
	"code": "DETAIL_NOT_COVERED",
	"text": sprintf("%s: agreement %s covers detail to %q; there is %q", [
		dimension, input.header.agreement, detail.agreed(input.agreement.detail, dimension), level,
	]),
	"agreement": input.header.agreement,
}
