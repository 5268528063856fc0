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
law := {"denied": [], "excluded": [], "minimum_frequency": 3}

decide_by(bounds, change) := decision if {
	decision := publication.decision with input as object.union(request, change)
		with data.publication.indicators as published
		with data.levels as levels
		with data.law as bounds
}

test_it_allows_what_is_published if {
	decide({}) == {
		"allow": true,
		"reasons": [],
		"detail": {"FREQ": "M", "CITIZENSHIP": "region", "SEX": "_T"},
		"obligations": {"minimumFrequency": 10},
	}
}

test_it_allows_the_published_detail if {
	decide({"requested": {"CITIZENSHIP": [{"code": "SOUTH_AMERICA", "level": "region"}]}}).allow
}

test_it_refuses[name] if {
	some name, case in {
		"an indicator not published": {"change": {"indicator": "TERR"}, "code": "INDICATOR_NOT_COVERED"},
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

test_it_decides_nothing_but_publishing if {
	not decide({"direction": "send"})
}

test_a_request_that_lacks_something_is_not_allowed[field] if {
	some field in ["indicator", "requested", "direction"]
	not publication.decision.allow with input as object.remove(request, [field])
		with data.publication.indicators as published
		with data.levels as levels
}

shown(cell, excluded) if {
	publication.include with input as object.union(request, {"cell": cell})
		with data.publication.indicators as published
		with data.levels as levels
		with data.law as object.union(law, {"excluded": excluded})
}

test_a_cell_is_shown_that_the_law_does_not_exclude if {
	shown({"CITIZENSHIP": "MEX"}, [{"cells": {"CITIZENSHIP": ["VEN"]}}])
}

test_a_cell_is_not_shown_that_the_law_excludes if {
	not shown({"CITIZENSHIP": "VEN"}, [{"cells": {"CITIZENSHIP": ["VEN"]}}])
}
