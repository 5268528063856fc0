package comity.access_test

import data.comity.access

# Every method of the node's services, with the roles that may call it.
persons := {
	access.statistics: {
		"CompareMirror": {"statistician", "analyst", "officer", "auditor"},
		"CompareRevisions": {"statistician", "analyst", "officer", "auditor"},
		"CloseEvents": {"statistician"},
		"CommentFinding": {"statistician"},
		"CreateLayout": {"statistician", "admin"},
		"CreateStructures": {"statistician", "admin"},
		"DeleteStructures": {"statistician", "admin"},
		"GetAvailability": {"statistician", "analyst", "officer", "auditor"},
		"GetQualityRules": {"statistician", "officer", "auditor"},
		"GetReadOnly": {"statistician", "officer", "auditor", "admin"},
		"GetStructures": {"statistician", "analyst", "officer", "auditor", "admin"},
		"GetSubmission": {"statistician", "officer", "auditor"},
		"ListDataflows": {"statistician", "analyst", "officer", "auditor", "admin"},
		"ListLayouts": {"statistician", "auditor", "admin"},
		"ListRemovals": {"officer", "auditor", "admin"},
		"ListRetention": {"officer", "auditor", "admin"},
		"ListStructures": {"statistician", "analyst", "officer", "auditor", "admin"},
		"ListSubmissions": {"statistician", "officer", "auditor"},
		"OverrideSubmission": {"officer"},
		"Query": {"statistician", "analyst", "officer", "auditor"},
		"RecordEvents": {"statistician"},
		"SetQualityRules": {"statistician"},
		"SetReadOnly": {"admin"},
		"SetRetention": {"admin"},
		"Submit": {"statistician"},
		"WatchRevisions": set(),
	},
	access.risk: {
		"CreateAssumption": {"analyst", "officer"},
		"GetAssumption": {"analyst", "officer", "auditor"},
		"JudgeAssumption": {"analyst", "officer"},
		"ListAssumptions": {"analyst", "officer", "auditor"},
	},
	access.methods: {"JudgeRate": {"statistician", "analyst", "officer", "auditor"}},
	access.disclosure: {
		"Audit": {"statistician", "analyst", "officer", "auditor"},
		"Perturb": {"statistician", "analyst", "officer", "auditor"},
		"Protect": {"statistician", "analyst", "officer", "auditor"},
	},
	access.governance: {
		"GetAmendment": {"statistician", "analyst", "officer", "auditor", "admin"},
		"ListAmendments": {"statistician", "analyst", "officer", "auditor", "admin"},
		"ProposeAmendment": {"officer"},
		"RatifyAmendment": {"officer"},
	},
	access.sharing: {
		"CancelAnnouncement": {"statistician", "officer"},
		"CounterAgreement": {"officer"},
		"CreateAgreement": {"officer"},
		"CreateAnnouncement": {"statistician", "officer"},
		"CreatePublication": {"officer"},
		"DeclineAgreement": {"officer"},
		"ExplainPolicy": {"analyst", "officer", "auditor"},
		"GetAgreement": {"analyst", "officer", "auditor"},
		"GetCheckpoint": {"analyst", "officer", "auditor"},
		"GetDeliveryProof": {"auditor"},
		"GetPublication": {"statistician", "analyst", "officer", "auditor"},
		"AcceptLog": {"admin"},
		"LiftQuarantine": {"admin"},
		"ListAgreementVersions": {"analyst", "officer", "auditor"},
		"ListAgreements": {"analyst", "officer", "auditor"},
		"ListAnnouncements": {"statistician", "analyst", "officer", "auditor"},
		"ListNotices": {"statistician", "analyst", "officer", "auditor"},
		"PreviewPublication": {"statistician", "officer"},
		"WithdrawPublication": {"officer"},
		"ListDeliveries": {"analyst", "officer", "auditor", "admin"},
		"ListKillSwitches": {"officer", "auditor", "admin"},
		"GetProvenance": {"analyst", "officer", "auditor"},
		"ListCheckpoints": {"auditor"},
		"ListHoldings": {"analyst", "officer", "auditor"},
		"ListLogEntries": {"auditor"},
		"ListPartners": {"analyst", "officer", "auditor", "admin"},
		"ListPublications": {"statistician", "analyst", "officer", "auditor"},
		"Tabulate": {"statistician", "analyst", "officer", "auditor"},
		"ListReleases": {"analyst", "officer", "auditor"},
		"RenewAgreement": {"officer"},
		"ReplayDecisions": {"officer", "auditor"},
		"SetKillSwitch": {"admin"},
		"ShadowPolicy": {"officer", "auditor", "admin"},
		"SignAgreement": {"officer"},
		"TerminateAgreement": {"officer"},
	},
	access.exchange: {
		"Answer": set(),
		"Describe": set(),
		"Fetch": set(),
		"Notify": set(),
		"Propose": set(),
		"Ratify": set(),
		"Sync": set(),
		"Witness": set(),
	},
}

every_method := {[service, method] | some service, grants in persons; some method, _ in grants}

all_roles := {"statistician", "analyst", "officer", "auditor", "admin"}

call(workload, person, service, method) := {
	"state": "us",
	"workload": workload,
	"person": person,
	"service": service,
	"method": method,
}

own(service) := {"state": "us", "service": service}

person(roles) := {"subject": "somebody", "roles": roles, "agency": ""}

# Each role asked for each method, as the table above has it. `opa test --explain fails --var-values` says which does not hold:
# a test that names its cases takes ten times as long.
test_a_role_may_call_what_it_is_for if {
	every service, grants in persons {
		every method, granted in grants {
			every role in granted {
				access.allow with input as call(own("gateway"), person([role]), service, method)
			}
		}
	}
}

test_a_role_may_call_nothing_else if {
	every service, grants in persons {
		every method, granted in grants {
			every role in all_roles - granted {
				not access.allow with input as call(own("gateway"), person([role]), service, method)
			}
		}
	}
}

test_it_knows_no_method_that_the_tests_do_not if {
	every role in all_roles {
		every service, names in access.roles[role] {
			every method in names {
				role in persons[service][method]
			}
		}
	}
}

test_any_of_several_roles_is_enough if {
	access.allow with input as call(own("gateway"), person(["admin", "analyst"]), access.statistics, "Query")
}

test_a_person_may_act_through_the_operators_tool if {
	access.allow with input as call(own("operator"), person(["officer"]), access.sharing, "SignAgreement")
}

test_a_person_acts_through_no_other_workload[workload] if {
	some workload in ["statistics", "risk", "sharing"]
	not access.allow with input as call(own(workload), person(["officer"]), access.sharing, "SignAgreement")
	not access.allow with input as call(own(workload), person(["statistician"]), access.statistics, "Submit")
}

test_a_person_without_a_known_role_may_nothing[json.marshal(roles)] if {
	some roles in [[], ["emperor"]]
	not access.allow with input as call(own("gateway"), person(roles), access.statistics, "Query")
}

test_anybody_may_ask_for_what_is_published[method] if {
	some method in ["GetAvailability", "GetStructures", "ListDataflows", "ListStructures", "Query"]
	access.allow with input as call(own("gateway"), null, access.statistics, method)
}

test_anybody_may_ask_for_tables_with_noise_and_what_is_told_of_publications[method] if {
	some method in public_of_sharing
	access.allow with input as call(own("gateway"), null, access.sharing, method)
}

public_of_sharing := {"ListAnnouncements", "ListNotices", "Tabulate"}

test_without_a_token_nothing_else_can_be_called if {
	published := {[access.statistics, name] | some name in ["GetAvailability", "GetStructures", "ListDataflows", "ListStructures", "Query"]}
	told := {[access.sharing, name] | some name in public_of_sharing}
	nothing_else(own("gateway"), published | told)
}

test_the_operators_tool_may_nothing_without_a_token if {
	not access.allow with input as call(own("operator"), null, access.statistics, "Query")
}

test_a_missing_person_is_not_an_anonymous_one if {
	not access.allow with input as json.remove(call(own("gateway"), null, access.statistics, "Query"), ["/person"])
}

test_a_service_may_call_what_it_needs[sprintf("%s %s", [workload, method])] if {
	some workload, granted in {
		"sharing": {"CountCells", "CreateStructures", "GetStructures", "ListDataflows", "ListStructures", "Query", "Submit", "TraceFigures", "WatchRevisions"},
		"risk": {"GetStructures", "ListDataflows", "Query", "WatchRevisions"},
	}
	some method in granted
	access.allow with input as call(own(workload), null, access.statistics, method)
}

test_a_service_may_call_nothing_else if {
	every workload, granted in {
		"statistics": set(),
		"sharing": {"CountCells", "CreateStructures", "GetStructures", "ListDataflows", "ListStructures", "Query", "Submit", "TraceFigures", "WatchRevisions"},
		"risk": {"GetStructures", "ListDataflows", "Query", "WatchRevisions"},
	} {
		nothing_else(own(workload), {[access.statistics, name] | some name in granted})
	}
}

# Without a person the workload may call what is granted alone.
nothing_else(workload, granted) if {
	every of in every_method - granted {
		not access.allow with input as call(workload, null, of[0], of[1])
	}
}

test_only_sharing_may_submit_without_a_person[workload] if {
	some workload in ["gateway", "statistics", "risk", "operator"]
	not access.allow with input as call(own(workload), null, access.statistics, "Submit")
}

test_nobody_else_gets_counts_with_their_keys[workload] if {
	some workload in ["gateway", "statistics", "risk", "operator"]
	some role in all_roles
	not access.allow with input as call(own(workload), person([role]), access.statistics, "CountCells")
	not access.allow with input as call(own(workload), null, access.statistics, "CountCells")
}

test_a_partners_exchange_may_call_ours[method] if {
	some method, _ in persons[access.exchange]
	access.allow with input as call({"state": "gb", "service": "sharing"}, null, access.exchange, method)
}

test_a_partners_exchange_may_call_nothing_else if {
	nothing_else({"state": "gb", "service": "sharing"}, {[access.exchange, name] | some name, _ in persons[access.exchange]})
}

test_a_partners_other_workloads_may_nothing[workload] if {
	some workload in ["gateway", "statistics", "risk", "operator"]
	not access.allow with input as call({"state": "gb", "service": workload}, null, access.exchange, "Sync")
	not access.allow with input as call({"state": "gb", "service": workload}, null, access.statistics, "Query")
	not access.allow with input as call({"state": "gb", "service": workload}, null, "grpc.health.v1.Health", "Check")
}

test_a_partner_brings_no_persons if {
	partner := {"state": "gb", "service": "sharing"}
	not access.allow with input as call(partner, person(["officer"]), access.exchange, "Sync")
	not access.allow with input as call({"state": "gb", "service": "gateway"}, person(["officer"]), access.statistics, "Query")
}

test_our_own_workloads_are_no_partners[workload] if {
	some workload in ["gateway", "statistics", "risk", "sharing", "operator"]
	not access.allow with input as call(own(workload), null, access.exchange, "Sync")
}

test_our_own_workloads_may_look_at_health_and_reflection[sprintf("%s %s", [workload, service])] if {
	some workload in ["gateway", "statistics", "risk", "sharing", "operator"]
	some service, granted in access.diagnostics
	some method in granted
	access.allow with input as call(own(workload), null, service, method)
}

test_a_partner_sees_health_and_no_reflection if {
	partner := {"state": "gb", "service": "sharing"}
	access.allow with input as call(partner, null, "grpc.health.v1.Health", "Check")
	not access.allow with input as call(partner, null, "grpc.reflection.v1.ServerReflection", "ServerReflectionInfo")
}

test_a_token_is_asked_for_where_it_would_help if {
	access.token_needed with input as call(own("gateway"), null, access.statistics, "Submit")
	access.token_needed with input as call(own("operator"), null, access.sharing, "ListPartners")
}

test_a_token_is_not_asked_for_where_it_would_not_help if {
	not access.token_needed with input as call(own("gateway"), null, access.statistics, "WatchRevisions")
	not access.token_needed with input as call(own("risk"), null, access.statistics, "Submit")
	not access.token_needed with input as call(own("gateway"), person(["admin"]), access.statistics, "Submit")
	not access.token_needed with input as call({"state": "gb", "service": "gateway"}, null, access.statistics, "Submit")
}
