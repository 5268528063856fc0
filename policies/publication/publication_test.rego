package comity.publication_test

import data.comity.publication

levels := {"SEX": [], "CITIZENSHIP": ["total", "region", "country"]}

published := {"1A": {"detail": {"FREQ": "M", "CITIZENSHIP": "region"}, "minimumFrequency": 10}}

request := {
	"state": "us",
	"partner": "",
	"direction": "publish",
	"dataflow": "COMITY:BORDER(1.0.0)",
	"indicator": "1A",
	"date": "2026-06-30",
	"requested": {},
}

decide(change) := decide_by(law, change)

# law is what the tests take for the state's: they hold whatever the real one says.
law := {
	"denied": [],
	"excluded": [],
	"minimum_frequency": 3,
	"relative_width": 0.2,
	"minimum_kept": 0,
	"protection": [],
}

decide_by(bounds, change) := decide_as(published, bounds, change)

decide_as(indicators, bounds, change) := decision if {
	decision := publication.decision with input as object.union(request, change)
		with data.publication as {"dataflow": "COMITY:BORDER(1.0.0)", "indicators": indicators}
		with data.levels as levels
		with data.law as bounds
}

test_it_allows_what_is_published if {
	decide({}) == {
		"allow": true,
		"reasons": [],
		"detail": {"FREQ": "M", "CITIZENSHIP": "region", "SEX": "_T"},
		"obligations": {
			"tier": "PUBLIC",
			"minimumFrequency": 10,
			"relativeWidth": 0.2,
			"minimumKept": 0,
			"decimals": 0,
			"dominance": null,
			"pPercent": null,
		},
	}
}

test_it_allows_the_published_detail if {
	decide({"requested": {"CITIZENSHIP": [{"code": "SOUTH_AMERICA", "level": "region"}]}}).allow
}

test_it_refuses[name] if {
	some name, case in {
		"an indicator not published": {"change": {"indicator": "TERR"}, "code": "INDICATOR_NOT_COVERED"},
		"another dataflow": {"change": {"dataflow": "US:ENCOUNTERS(1.0.0)"}, "code": "INDICATOR_NOT_COVERED"},
		"more detail": {
			"change": {"requested": {"CITIZENSHIP": [{"code": "VEN", "level": "country"}]}},
			"code": "DETAIL_NOT_COVERED",
		},
	}
	decision := decide(case.change)
	not decision.allow
	[reason.code | some reason in decision.reasons] == [case.code]
	decision.detail == {}
	decision.obligations == null
}

test_an_indicator_can_be_published_of_another_dataflow if {
	own := {"1A": object.union(published["1A"], {"dataflow": "US:ENCOUNTERS(1.0.0)"})}
	decide_as(own, law, {"dataflow": "US:ENCOUNTERS(1.0.0)"}).allow
	not decide_as(own, law, {}).allow
}

test_it_refuses_what_the_law_denies if {
	denies := [{"indicators": ["1A"], "text": "not in public"}]
	decision := decide_by(object.union(law, {"denied": denies}), {})
	decision.reasons == [{"code": "LAW", "text": "not in public", "agreement": ""}]
}

test_nothing_is_published_by_itself if {
	decision := publication.decision with input as request
		with data.publication.indicators as {}
		with data.levels as levels
	not decision.allow
}

test_the_law_can_raise_the_minimum if {
	strict := object.union(law, {"minimum_frequency": 20})
	decide_by(strict, {}).obligations.minimumFrequency == 20
}

test_the_law_can_ask_for_more_of_the_public if {
	strict := object.union(law, {"protection": [
		{"tiers": ["PUBLIC"], "relative_width": 0.5},
		{"tiers": ["PARTNERS"], "relative_width": 1},
	]})
	decide_by(strict, {}).obligations.relativeWidth == 0.5
}

test_a_publication_can_ask_for_more_than_the_law if {
	more := {
		"relativeWidth": 0.3,
		"minimumKept": 0.5,
		"decimals": 0,
		"dominance": {"n": 1, "k": 75, "by": "SECTION"},
		"pPercent": {"p": 10, "by": "SECTION"},
	}
	obligations := decide_as({"1A": object.union(published["1A"], more)}, law, {}).obligations
	object.subset(obligations, more)
}

test_a_publication_without_a_minimum_has_the_one_of_the_law if {
	decide_as({"1A": {"detail": {"FREQ": "A"}}}, law, {}).obligations.minimumFrequency == 3
}

test_it_refuses_what_cannot_be_protected_as_asked if {
	by_section := {"1A": object.union(published["1A"], {"dominance": {"n": 1, "k": 75, "by": "SECTION"}})}
	by_sex := object.union(law, {"protection": [{"dominance": {"n": 1, "k": 75, "by": "SEX"}}]})
	decision := decide_as(by_section, by_sex, {})
	not decision.allow
	[reason.code | some reason in decision.reasons] == ["LAW"]
}

test_it_decides_nothing_but_publishing if {
	not decide({"direction": "send"})
}

test_a_request_that_lacks_something_is_not_allowed[field] if {
	some field in ["dataflow", "indicator", "requested", "direction"]
	not publication.decision.allow with input as object.remove(request, [field])
		with data.publication as {"dataflow": "COMITY:BORDER(1.0.0)", "indicators": published}
		with data.levels as levels
}

shown(cell, excluded) if {
	publication.include with input as object.union(request, {"cell": cell})
		with data.publication as {"dataflow": "COMITY:BORDER(1.0.0)", "indicators": published}
		with data.levels as levels
		with data.law as object.union(law, {"excluded": excluded})
}

test_a_cell_is_shown_that_the_law_does_not_exclude if {
	shown({"CITIZENSHIP": "MEX"}, [{"cells": {"CITIZENSHIP": ["VEN"]}}])
}

test_a_cell_is_not_shown_that_the_law_excludes if {
	not shown({"CITIZENSHIP": "VEN"}, [{"cells": {"CITIZENSHIP": ["VEN"]}}])
}
