package comity.exchange_test

import data.comity.exchange

levels := {
	"FREQ": [],
	"REF_AREA": ["area"],
	"INDICATOR": [],
	"SECTION": ["total", "state", "section", "point"],
	"SEX": [],
	"CITIZENSHIP": ["total", "region", "country"],
}

terms := {
	"id": "us-gb-1a",
	"version": 2,
	"provider": "us",
	"receiver": "gb",
	"dataflow": "COMITY:BORDER(1.0.0)",
	"indicators": ["1A", "4"],
	"detail": {"FREQ": "M", "CITIZENSHIP": "country"},
	"purposes": ["risk analysis"],
	"minimumFrequency": 5,
	"validFrom": "2026-01-01",
	"validTo": "2026-12-31",
	"retentionDays": 365,
	"onward": true,
	"text": "",
}

agreements := by_indicator([terms])

by_indicator(list) := {"gb": {indicator: [t | some t in list; indicator in t.indicators] |
	some t in list
	some indicator in t.indicators
}}

request := {
	"state": "us",
	"partner": "gb",
	"direction": "send",
	"dataflow": "COMITY:BORDER(1.0.0)",
	"indicator": "1A",
	"purpose": "",
	"date": "2026-06-30",
	"requested": {},
}

decide(change) := decide_under(change, agreements)

decide_under(change, all) := decide_by(law, change, all)

# law is what the tests take for the state's: they hold whatever the real one says.
law := {
	"denied": [],
	"excluded": [],
	"minimum_frequency": 3,
	"relative_width": 0.2,
	"minimum_kept": 0,
	"protection": [],
}

decide_by(bounds, change, all) := decision if {
	decision := exchange.decision with input as object.union(request, change)
		with data.agreements as all
		with data.levels as levels
		with data.law as bounds
}

refusals(decision) := [[reason.code, reason.agreement] | some reason in decision.reasons]

test_it_allows_what_is_agreed if {
	decide({}) == {
		"allow": true,
		"reasons": [],
		"agreement": {"id": "us-gb-1a", "version": 2},
		"detail": {"FREQ": "M", "SECTION": "_T", "SEX": "_T", "CITIZENSHIP": "country"},
		"obligations": {
			"tier": "PARTNERS",
			"minimumFrequency": 5,
			"relativeWidth": 0.2,
			"minimumKept": 0,
			"decimals": 0,
			"dominance": null,
			"pPercent": null,
			"purposes": ["risk analysis"],
			"retentionDays": 365,
			"onward": true,
		},
		"periods": [],
	}
}

test_it_says_which_periods_are_agreed if {
	spans := [{"from": "2024-01"}, {"to": "2022"}]
	decide_under({}, by_indicator([object.union(terms, {"periods": spans})])).periods == spans
}

test_it_allows[name] if {
	some name, change in {
		"another agreed indicator": {"indicator": "4"},
		"an agreed purpose": {"purpose": "risk analysis"},
		"the first day": {"date": "2026-01-01"},
		"the last day": {"date": "2026-12-31"},
		"the agreed detail": {"requested": {
			"FREQ": [{"code": "M", "level": ""}],
			"SECTION": [{"code": "_T", "level": "total"}],
			"CITIZENSHIP": [{"code": "VEN", "level": "country"}],
			"REF_AREA": [{"code": "US", "level": "area"}],
		}},
		"less than the agreed detail": {"requested": {"FREQ": [{"code": "A", "level": ""}]}},
	}
	decide(change).allow
}

test_it_refuses[name] if {
	some name, case in {
		"a partner without an agreement": {"change": {"partner": "eu"}, "reasons": [["NO_AGREEMENT", ""]]},
		"an indicator not agreed": {"change": {"indicator": "5"}, "reasons": [["INDICATOR_NOT_COVERED", "us-gb-1a"]]},
		"another dataflow": {
			"change": {"dataflow": "US:ENCOUNTERS(1.0.0)"},
			"reasons": [["INDICATOR_NOT_COVERED", "us-gb-1a"]],
		},
		"figures of another state": {"change": {"state": "gb"}, "reasons": [["INDICATOR_NOT_COVERED", "us-gb-1a"]]},
		"the day before": {"change": {"date": "2025-12-31"}, "reasons": [["EXPIRED", "us-gb-1a"]]},
		"the day after": {"change": {"date": "2027-01-01"}, "reasons": [["EXPIRED", "us-gb-1a"]]},
		"a purpose not agreed": {"change": {"purpose": "prosecution"}, "reasons": [["PURPOSE", "us-gb-1a"]]},
		"a finer frequency": {
			"change": {"requested": {"FREQ": [{"code": "D", "level": ""}]}},
			"reasons": [["DETAIL_NOT_COVERED", "us-gb-1a"]],
		},
		"a finer section": {
			"change": {"requested": {"SECTION": [{"code": "EL_PASO", "level": "section"}]}},
			"reasons": [["DETAIL_NOT_COVERED", "us-gb-1a"]],
		},
		"two things at once": {
			"change": {"date": "2027-01-01", "purpose": "prosecution"},
			"reasons": [["EXPIRED", "us-gb-1a"], ["PURPOSE", "us-gb-1a"]],
		},
	}
	decision := decide(case.change)
	not decision.allow
	refusals(decision) == case.reasons
	decision.agreement == null
	decision.obligations == null
	decision.detail == {}
}

test_it_says_which_detail_was_agreed if {
	decision := decide({"requested": {"SECTION": [{"code": "EL_PASO", "level": "section"}]}})
	decision.reasons[0].text == `SECTION: agreement us-gb-1a covers detail to "_T"; "EL_PASO" is of "section"`
}

test_it_names_each_agreement_that_does_not_cover_the_indicator if {
	other := object.union(terms, {"id": "us-gb-thb", "indicators": ["THB"]})
	decision := decide_under({"indicator": "5"}, by_indicator([terms, other]))
	refusals(decision) == [["INDICATOR_NOT_COVERED", "us-gb-1a"], ["INDICATOR_NOT_COVERED", "us-gb-thb"]]
}

test_it_refuses_where_there_are_no_agreements if {
	decision := exchange.decision with input as request with data.levels as levels with data.law as law
	refusals(decision) == [["NO_AGREEMENT", ""]]
}

test_one_suitable_agreement_is_enough if {
	strict := object.union(terms, {"id": "a-strict", "purposes": ["research"]})
	decision := decide_under({"purpose": "risk analysis"}, by_indicator([strict, terms]))
	decision.allow
	decision.agreement == {"id": "us-gb-1a", "version": 2}
}

test_of_suitable_agreements_the_first_id_and_the_highest_version_count if {
	newer := object.union(terms, {"version": 10})
	later := object.union(terms, {"id": "us-gb-2", "version": 11})
	decision := decide_under({}, by_indicator([later, terms, newer]))
	decision.agreement == {"id": "us-gb-1a", "version": 10}
}

test_an_agreement_without_end_does_not_end[name] if {
	some name, open in {
		"empty": object.union(terms, {"validTo": ""}),
		"absent": object.remove(terms, ["validTo"]),
	}
	decide_under({"date": "2999-01-01"}, by_indicator([open])).allow
}

test_what_an_agreement_does_not_say_is_the_least if {
	bare := object.remove(terms, ["minimumFrequency", "retentionDays", "onward"])
	decide_under({}, by_indicator([bare])).obligations == {
		"tier": "PARTNERS",
		"minimumFrequency": 3, # the law's
		"relativeWidth": 0.2,
		"minimumKept": 0,
		"decimals": 0,
		"dominance": null,
		"pPercent": null,
		"purposes": ["risk analysis"],
		"retentionDays": 0,
		"onward": false,
	}
}

test_an_agreement_without_purposes_is_for_none[json.marshal(bare)] if {
	some bare in [object.remove(terms, ["purposes"]), object.union(terms, {"purposes": null})]
	decide_under({"purpose": ""}, by_indicator([bare])).obligations.purposes == []
	refusals(decide_under({"purpose": "research"}, by_indicator([bare]))) == [["PURPOSE", "us-gb-1a"]]
}

test_an_agreement_without_detail_is_for_totals[json.marshal(bare)] if {
	some bare in [object.remove(terms, ["detail"]), object.union(terms, {"detail": null})]
	decide_under({}, by_indicator([bare])).detail == {"FREQ": "A", "SECTION": "_T", "SEX": "_T", "CITIZENSHIP": "_T"}
}

test_the_law_binds_on_top_of_agreements if {
	denies := [{"partners": ["gb"], "text": "not to gb"}]
	decision := decide_by(object.union(law, {"denied": denies}), {}, agreements)
	not decision.allow
	decision.reasons == [{"code": "LAW", "text": "not to gb", "agreement": ""}]
	spares := [{"partners": ["eu"], "text": "not to eu"}]
	decide_by(object.union(law, {"denied": spares}), {}, agreements).allow
}

test_the_law_can_raise_the_minimum if {
	strict := object.union(law, {"minimum_frequency": 10})
	decide_by(strict, {}, agreements).obligations.minimumFrequency == 10
}

test_the_law_can_ask_for_more_of_a_tier if {
	bounds := object.union(law, {"protection": [
		{"tiers": ["ALLIES"], "dominance": {"n": 1, "k": 75, "by": "SECTION"}},
		{"tiers": ["PARTNERS"], "p_percent": {"p": 10, "by": "SECTION"}},
	]})
	allied := object.union(terms, {"tier": "ALLIES"})
	obligations := decide_by(bounds, {}, by_indicator([allied])).obligations
	obligations.tier == "ALLIES"
	obligations.dominance == {"n": 1, "k": 75, "by": "SECTION"}
	obligations.pPercent == null
}

test_it_refuses_what_cannot_be_protected_as_the_law_asks if {
	bounds := object.union(law, {"protection": [
		{"dominance": {"n": 1, "k": 75, "by": "SECTION"}},
		{"dominance": {"n": 1, "k": 75, "by": "CITIZENSHIP"}},
	]})
	decision := decide_by(bounds, {}, agreements)
	not decision.allow
	refusals(decision) == [["LAW", ""]]
}

test_it_refuses_where_agreements_with_one_partner_are_of_several_tiers if {
	allied := object.union(terms, {"id": "us-gb-thb", "indicators": ["THB"], "tier": "ALLIES"})
	decision := decide_under({}, by_indicator([terms, allied]))
	not decision.allow
	decision.reasons == [{
		"code": "POLICY_ERROR",
		"text": "the agreements with gb are of several clearance tiers: ALLIES, PARTNERS",
		"agreement": "",
	}]
}

test_a_tier_that_is_named_is_the_one_that_is_not if {
	named := object.union(terms, {"id": "us-gb-thb", "indicators": ["THB"], "tier": "PARTNERS"})
	decide_under({}, by_indicator([terms, named])).obligations.tier == "PARTNERS"
}

test_it_decides_nothing_but_sending if {
	not decide({"direction": "receive"})
}

test_a_request_that_lacks_something_is_not_allowed[field] if {
	some field in ["state", "partner", "dataflow", "indicator", "purpose", "date", "requested"]
	not exchange.decision.allow with input as object.remove(request, [field])
		with data.agreements as agreements
		with data.levels as levels
}

included(change, cell, excluded) if {
	exchange.include with input as object.union(request, object.union(change, {"cell": cell}))
		with data.agreements as agreements
		with data.levels as levels
		with data.law as object.union(law, {"excluded": excluded})
}

exclusions := [
	{"partners": ["gb"], "cells": {"CITIZENSHIP": ["VEN", "CUB"]}},
	{"partners": ["gb"], "cells": {"SEX": ["F"], "SECTION": ["EL_PASO", "YUMA"]}},
	{"partners": ["eu"], "cells": {"CITIZENSHIP": ["HTI"]}},
]

test_every_cell_goes_where_the_law_excludes_none if {
	included({}, {"CITIZENSHIP": "VEN"}, [])
}

test_a_cell_goes_that_the_law_does_not_exclude[name] if {
	some name, cell in {
		"another citizenship": {"CITIZENSHIP": "MEX", "SEX": "_T", "SECTION": "_T"},
		"one of two components": {"CITIZENSHIP": "MEX", "SEX": "F", "SECTION": "TUCSON"},
		"excluded for another partner": {"CITIZENSHIP": "HTI", "SEX": "_T", "SECTION": "_T"},
	}
	included({}, cell, exclusions)
}

test_a_cell_does_not_go_that_the_law_excludes[name] if {
	some name, cell in {
		"by one component": {"CITIZENSHIP": "VEN", "SEX": "_T", "SECTION": "_T"},
		"by two components": {"CITIZENSHIP": "MEX", "SEX": "F", "SECTION": "YUMA"},
	}
	not included({}, cell, exclusions)
}

test_no_cell_goes_of_a_request_that_is_refused if {
	not included({"indicator": "5"}, {"CITIZENSHIP": "MEX"}, [])
}

to_agency := object.union(terms, {"provider": "us/statistics", "receiver": "us/border-force"})

decide_at_home(all, agencies) := decision if {
	decision := exchange.decision with input as object.union(request, {"partner": "us/border-force"})
		with data.agreements as {"us/border-force": {code: [some_terms |
			some some_terms in all
			code in some_terms.indicators
		] |
			some code in all[0].indicators
		}}
		with data.levels as levels
		with data.law as law
		with data.agencies as agencies
}

test_an_agency_gets_what_another_one_has_agreed_to_give if {
	flow := split(terms.dataflow, "(")[0]
	decide_at_home([to_agency], {"statistics": {"provides": [flow]}}).allow
}

test_an_agency_gets_what_the_state_has_agreed_to_give if {
	decide_at_home([object.union(to_agency, {"provider": "us"})], {}).allow
}

test_an_agency_gives_nothing_that_it_does_not_provide[json.marshal(agencies)] if {
	some agencies in [{}, {"statistics": {"provides": ["XX:OTHER"]}}, {"statistics": {}}, {"coast-guard": {"provides": [split(terms.dataflow, "(")[0]]}}]
	decision := decide_at_home([to_agency], agencies)
	not decision.allow
	refusals(decision) == [["INDICATOR_NOT_COVERED", "us-gb-1a"]]
}
