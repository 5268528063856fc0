package comity.access

# METADATA
# description: |
#   What a person may call who belongs to an agency of the state, as far as one of the roles may: agreements with others, and
#   the figures that the agency has. All else is about the figures of everybody.
of_agency := {
	statistics: {"GetAvailability", "GetStructures", "ListDataflows", "ListStructures", "Query"},
	sharing: {
		"CounterAgreement",
		"CreateAgreement",
		"DeclineAgreement",
		"GetAgreement",
		"ListAgreementVersions",
		"ListAgreements",
		"ListAnnouncements",
		"ListNotices",
		"RenewAgreement",
		"SignAgreement",
		"Tabulate",
		"TerminateAgreement",
	},
	methods: on_request[methods],
	disclosure: on_request[disclosure],
}

# Whoever belongs to no agency of the state belongs to all of it.
within_agency if input.person.agency == ""

within_agency if {
	input.person.agency != ""
	input.method in of_agency[input.service]
}

# METADATA
# description: |
#   Whose figures of a dataflow the caller gets: {"bound": true, "providers": ["PUBLISHED:PUBLIC", "us/border-force"]}; whoever
#   is not bound gets those of any provider. The input is that of `allow`, with "dataflow": "AGENCY:ID". A person of an agency
#   gets what is published, what was released to the agency, and of dataflows that the agency provides what the state has.
# entrypoint: true
view := {"bound": false, "providers": []} if unbound

view := {"bound": true, "providers": sort(in_view)} if not unbound

unbound if input.person == null

unbound if input.person.agency == ""

in_view contains "PUBLISHED:PUBLIC"

in_view contains sprintf("%s/%s", [input.state, input.person.agency])

in_view contains input.state if input.dataflow in data.agencies[input.person.agency].provides
