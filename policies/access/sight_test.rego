package comity.access_test

import data.comity.access

seen(workload, who) := shown if {
	shown := access.sight with input as call(workload, who, access.statistics, "Query")
}

test_who_works_on_the_figures_sees_all_of_them[role] if {
	some role in ["statistician", "officer"]
	seen(own("gateway"), person([role])) == {"confStatus": ["*", "F"], "embargoed": true}
}

test_an_auditor_sees_everything_but_what_is_under_embargo if {
	seen(own("gateway"), person(["auditor"])) == {"confStatus": ["*", "F"], "embargoed": false}
}

test_an_analyst_sees_what_is_for_use_inside if {
	seen(own("gateway"), person(["analyst"])) == {"confStatus": ["F", "N"], "embargoed": false}
	seen(own("operator"), person(["analyst"])) == {"confStatus": ["F", "N"], "embargoed": false}
}

test_whoever_has_several_roles_sees_what_any_of_them_does if {
	seen(own("gateway"), person(["auditor", "analyst"])) == {"confStatus": ["*", "F", "N"], "embargoed": false}
}

test_sharing_sees_figures_of_every_status if {
	seen(own("sharing"), null) == {"confStatus": ["*", "F"], "embargoed": false}
}

test_risk_sees_what_an_analyst_does if {
	seen(own("risk"), null) == seen(own("gateway"), person(["analyst"]))
}

test_everybody_else_sees_what_is_free[json.marshal([workload, who])] if {
	some [workload, who] in [
		[own("gateway"), null],
		[own("operator"), null],
		[own("statistics"), null],
		[own("gateway"), person([])],
		[own("gateway"), person(["admin", "emperor"])],
		[own("sharing"), person(["officer"])],
		[{"state": "gb", "service": "sharing"}, null],
		[{"state": "gb", "service": "gateway"}, person(["statistician"])],
	]
	seen(workload, who) == {"confStatus": ["F"], "embargoed": false}
}

test_without_a_caller_it_shows_what_is_free if {
	access.sight == {"confStatus": ["F"], "embargoed": false} with input as {}
}
