# METADATA
# title: Who may call what
# description: |
#   Every call to a service of the node is decided here, by `allow`. Input:
#
#     {"state": "us",                                          the state whose node this is
#      "workload": {"state": "us", "service": "gateway"},      by its certificate
#      "person": {"subject": "…", "roles": ["analyst"],        by a verified token; null: there is none
#                 "agency": ""},                               of the state, for example "border-force"; "": none
#      "service": "comity.statistics.v1.StatisticsService",    what is called
#      "method": "Query"}
#
#   A person acts through the gateway or the operator's tool. The other workloads act for themselves.
package comity.access

statistics := "comity.statistics.v1.StatisticsService"

risk := "comity.risk.v1.RiskService"

methods := "comity.risk.v1.MethodsService"

sharing := "comity.sharing.v1.SharingService"

disclosure := "comity.sharing.v1.DisclosureService"

governance := "comity.sharing.v1.GovernanceService"

exchange := "comity.exchange.v1.ExchangeService"

# METADATA
# description: What anybody may call through the gateway; the services show such a caller what is published, nothing else.
anonymous := {
	statistics: {"GetAvailability", "GetStructures", "ListDataflows", "ListStructures", "Query"},
	sharing: {"ListAnnouncements", "ListNotices", "Tabulate"},
}

# METADATA
# description: What the services of a node need of each other.
workloads := {
	"risk": {statistics: {"GetStructures", "ListDataflows", "Query", "WatchRevisions"}},
	"sharing": {statistics: {"CountCells", "CreateStructures", "GetStructures", "ListDataflows", "ListStructures", "Query", "Submit", "TraceFigures", "WatchRevisions"}},
}

# METADATA
# description: What another state's `sharing` may call, on the port between states.
partners := {exchange: {"Answer", "Describe", "Fetch", "Notify", "Propose", "Ratify", "Sync", "Witness"}}

# METADATA
# description: The methods that work on figures in the request alone, for whoever works with figures.
on_request := {
	methods: {"JudgeRate"},
	disclosure: {"Audit", "Perturb", "Protect"},
}

# METADATA
# description: What every workload may call that a node's own root vouches for.
diagnostics := {
	"grpc.health.v1.Health": {"Check", "List", "Watch"},
	"grpc.reflection.v1.ServerReflection": {"ServerReflectionInfo"},
	"grpc.reflection.v1alpha.ServerReflection": {"ServerReflectionInfo"},
}

# METADATA
# scope: document
# description: |
#   What each role may call. A statistician feeds the statistics, an analyst reads and assesses, an officer binds the
#   state besides, an auditor reads everything and changes nothing, an admin keeps structures and
#   partners, and can stop the node.
roles["statistician"] := {
	statistics: {
		"CloseEvents",
		"CommentFinding",
		"CompareMirror",
		"CompareRevisions",
		"CreateLayout",
		"CreateStructures",
		"DeleteStructures",
		"GetAvailability",
		"GetQualityRules",
		"GetReadOnly",
		"GetStructures",
		"GetSubmission",
		"ListDataflows",
		"ListLayouts",
		"ListStructures",
		"ListSubmissions",
		"Query",
		"RecordEvents",
		"SetQualityRules",
		"Submit",
	},
	sharing: {
		"CancelAnnouncement",
		"CreateAnnouncement",
		"GetPublication",
		"ListAnnouncements",
		"ListNotices",
		"ListPublications",
		"PreviewPublication",
		"Tabulate",
	},
	methods: on_request[methods],
	disclosure: on_request[disclosure],
	governance: {"GetAmendment", "ListAmendments"},
}

roles["analyst"] := {
	statistics: {
		"CompareMirror",
		"CompareRevisions",
		"GetAvailability",
		"GetStructures",
		"ListDataflows",
		"ListStructures",
		"Query",
	},
	risk: {"CreateAssumption", "GetAssumption", "JudgeAssumption", "ListAssumptions"},
	methods: on_request[methods],
	disclosure: on_request[disclosure],
	governance: {"GetAmendment", "ListAmendments"},
	sharing: {
		"ExplainPolicy",
		"GetAgreement",
		"GetCheckpoint",
		"GetProvenance",
		"GetPublication",
		"ListAgreementVersions",
		"ListAgreements",
		"ListAnnouncements",
		"ListDeliveries",
		"ListHoldings",
		"ListNotices",
		"ListPartners",
		"ListPublications",
		"ListReleases",
		"Tabulate",
	},
}

roles["officer"] := object.union(
	roles.analyst,
	{
		statistics: (roles.analyst[statistics] | {
			"GetQualityRules",
			"GetReadOnly",
			"GetSubmission",
			"ListRemovals",
			"ListRetention",
			"ListSubmissions",
			"OverrideSubmission",
		}),
		sharing: (roles.analyst[sharing] | {
			"CancelAnnouncement",
			"CounterAgreement",
			"CreateAgreement",
			"CreateAnnouncement",
			"CreatePublication",
			"DeclineAgreement",
			"ListKillSwitches",
			"PreviewPublication",
			"RenewAgreement",
			"ReplayDecisions",
			"ShadowPolicy",
			"SignAgreement",
			"TerminateAgreement",
			"WithdrawPublication",
		}),
		governance: (roles.analyst[governance] | {"ProposeAmendment", "RatifyAmendment"}),
	},
)

roles["auditor"] := {
	statistics: {
		"CompareMirror",
		"CompareRevisions",
		"GetAvailability",
		"GetQualityRules",
		"GetReadOnly",
		"GetStructures",
		"GetSubmission",
		"ListDataflows",
		"ListLayouts",
		"ListRemovals",
		"ListRetention",
		"ListStructures",
		"ListSubmissions",
		"Query",
	},
	risk: {"GetAssumption", "ListAssumptions"},
	methods: on_request[methods],
	disclosure: on_request[disclosure],
	governance: {"GetAmendment", "ListAmendments"},
	sharing: (roles.analyst[sharing] | {
		"GetDeliveryProof",
		"ListCheckpoints",
		"ListKillSwitches",
		"ListLogEntries",
		"ReplayDecisions",
		"ShadowPolicy",
	}),
}

roles["admin"] := {
	statistics: {
		"CreateLayout",
		"CreateStructures",
		"DeleteStructures",
		"GetReadOnly",
		"GetStructures",
		"ListDataflows",
		"ListLayouts",
		"ListRemovals",
		"ListRetention",
		"ListStructures",
		"SetReadOnly",
		"SetRetention",
	},
	governance: {"GetAmendment", "ListAmendments"},
	sharing: {
		"AcceptLog",
		"LiftQuarantine",
		"ListDeliveries",
		"ListKillSwitches",
		"ListPartners",
		"SetKillSwitch",
		"ShadowPolicy",
	},
}

# METADATA
# description: The answer. What no rule below lets through is refused.
# entrypoint: true
default allow := false

# METADATA
# description: A person may do what one of the roles may.
allow if {
	for_persons
	some role in input.person.roles
	input.method in roles[role][input.service]
	within_agency
}

# METADATA
# description: Without a token, the gateway may ask for what is published.
allow if {
	own_state
	input.workload.service == "gateway"
	input.person == null
	input.method in anonymous[input.service]
}

# METADATA
# description: A service of the node may call what it needs of another.
allow if {
	own_state
	input.person == null
	input.method in workloads[input.workload.service][input.service]
}

# METADATA
# description: A partner's exchange may call ours.
allow if {
	input.workload.state != input.state
	input.workload.service == "sharing"
	input.person == null
	input.method in partners[input.service]
}

# METADATA
# description: Every workload of the node may ask how a service is, and what it offers.
allow if {
	own_state
	input.method in diagnostics[input.service]
}

# METADATA
# description: A partner's exchange may ask how ours is.
allow if {
	input.workload.state != input.state
	input.workload.service == "sharing"
	input.service == "grpc.health.v1.Health"
	input.method in diagnostics[input.service]
}

# METADATA
# description: |
#   Says of a refused call without a token that some role could make it, so that the caller is asked for a token.
# entrypoint: true
default token_needed := false

token_needed if {
	for_persons
	input.person == null
	some role
	input.method in roles[role][input.service]
}

own_state if input.workload.state == input.state

for_persons if {
	own_state
	input.workload.service in {"gateway", "operator"}
}
