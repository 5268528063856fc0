package comity.access_test

import data.comity.access

clerk(agency, roles) := {"subject": "somebody", "roles": roles, "agency": agency}

agencies := {"border-force": {"provides": ["US:PATROLS"]}}

view(person, dataflow) := bound if {
	bound := access.view with input as object.union(
		call(own("gateway"), person, access.statistics, "Query"),
		{"dataflow": dataflow},
	)
		with data.agencies as agencies
}

test_a_person_of_an_agency_may_call_what_its_role_may[sprintf("%s %s", [role, method])] if {
	some [role, service, method] in [
		["analyst", access.statistics, "Query"],
		["statistician", access.statistics, "GetAvailability"],
		["officer", access.sharing, "CounterAgreement"],
		["officer", access.sharing, "DeclineAgreement"],
		["officer", access.sharing, "RenewAgreement"],
		["officer", access.sharing, "SignAgreement"],
		["auditor", access.sharing, "ListAgreements"],
	]
	access.allow with input as call(own("gateway"), clerk("border-force", [role]), service, method)
}

test_a_person_of_an_agency_may_call_nothing_else if {
	every service, grants in persons {
		every method in object.keys(grants) - object.get(access.of_agency, service, set()) {
			every role in grants[method] {
				not access.allow with input as call(own("gateway"), clerk("border-force", [role]), service, method)
			}
		}
	}
}

test_an_agency_gives_no_role_more if {
	not access.allow with input as call(own("gateway"), clerk("border-force", ["analyst"]), access.sharing, "SignAgreement")
}

test_a_person_of_an_agency_gets_what_was_released_to_it_and_what_is_published if {
	view(clerk("border-force", ["officer"]), "US:BORDER") == {
		"bound": true,
		"providers": ["PUBLISHED:PUBLIC", "us/border-force"],
	}
}

test_an_agency_gets_the_state_s_figures_of_what_it_provides if {
	view(clerk("border-force", ["analyst"]), "US:PATROLS") == {
		"bound": true,
		"providers": ["PUBLISHED:PUBLIC", "us", "us/border-force"],
	}
	not "us" in view(clerk("coast-guard", ["analyst"]), "US:PATROLS").providers
}

test_whoever_is_of_no_agency_is_not_bound[json.marshal(whoever)] if {
	some whoever in [clerk("", ["analyst"]), null]
	view(whoever, "US:BORDER") == {"bound": false, "providers": []}
}

test_a_person_without_the_word_agency_gets_nothing if {
	nameless := json.remove(clerk("", ["analyst"]), ["/agency"])
	not access.allow with input as call(own("gateway"), nameless, access.statistics, "Query")
}
