package comity.exchange_test

import data.comity.exchange

# What eu gave us, and lets us pass on to gb.
grant := {
	"id": "eu-us-1a",
	"version": 1,
	"provider": "eu",
	"receiver": "us",
	"dataflow": "COMITY:BORDER(1.0.0)",
	"indicators": ["1A"],
	"detail": {"FREQ": "M", "CITIZENSHIP": "country"},
	"purposes": ["risk analysis", "statistics"],
	"minimumFrequency": 5,
	"validFrom": "2026-01-01",
	"validTo": "",
	"onward": true,
	"onwardTo": ["gb"],
}

onward_terms := object.union(terms, {"id": "us-gb-eu", "source": "eu", "onward": false})

pass(change, grants) := pass_under(change, grants, [onward_terms])

pass_under(change, grants, list) := decision if {
	decision := exchange.decision with input as object.union(object.union(request, {"source": "eu"}), change)
		with data.agreements as by_indicator(list)
		with data.grants as grants
		with data.levels as levels
		with data.law as law
}

given(list) := {"eu": {"1A": list}}

test_it_lets_pass_what_both_agreements_want if {
	decision := pass({}, given([grant]))
	decision.allow
	decision.agreement.id == "us-gb-eu"
	decision.obligations.minimumFrequency == 5
}

test_it_lets_pass_what_is_for_any_purpose if pass({}, given([object.union(grant, {"purposes": []})])).allow

test_it_lets_nothing_pass_that_is_not_granted[name] if {
	some name, grants in {
		"nothing": {},
		"another state's": {"au": {"1A": [grant]}},
		"another indicator": {"eu": {"4": [grant]}},
		"no agreement": given([]),
		"to somebody else": given([object.union(grant, {"onwardTo": ["au"]})]),
		"to nobody": given([object.remove(grant, ["onwardTo"])]),
		"not onward": given([object.union(grant, {"onward": false})]),
		"for another state": given([object.union(grant, {"receiver": "au"})]),
		"over": given([object.union(grant, {"validTo": "2026-06-29"})]),
		"not begun": given([object.union(grant, {"validFrom": "2026-07-01"})]),
		"another tier": given([object.union(grant, {"tier": "ALLIES"})]),
		"other purposes": given([object.union(grant, {"purposes": ["statistics"]})]),
	}
	decision := pass({}, grants)
	not decision.allow
	refusals(decision) == [["ONWARD_NOT_GRANTED", "us-gb-eu"]]
}

test_it_lets_nothing_pass_without_an_agreement_that_names_the_source if {
	refusals(pass_under({}, given([grant]), [terms])) == [["INDICATOR_NOT_COVERED", "us-gb-1a"]]
}

test_it_gives_nothing_of_its_own_under_an_agreement_about_a_source if {
	decision := decide_under({}, by_indicator([onward_terms]))
	not decision.allow
	refusals(decision) == [["INDICATOR_NOT_COVERED", "us-gb-eu"]]
}

test_the_law_forbids_what_both_agreements_want if {
	bounds := object.union(law, {"denied": [{"partners": ["gb"], "indicators": ["1A"], "text": "By law."}]})
	decision := exchange.decision with input as object.union(request, {"source": "eu"})
		with data.agreements as by_indicator([onward_terms])
		with data.grants as given([grant])
		with data.levels as levels
		with data.law as bounds
	refusals(decision) == [["LAW", ""]]
}
