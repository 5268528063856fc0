package rpc

import (
	"context"
	"strings"

	"github.com/comity-federation/comity/services/fault"
)

// AccessInput is the input of the rules of data.comity.access.
type AccessInput struct {
	State    string         `json:"state"`
	Workload AccessWorkload `json:"workload"`
	Person   *AccessPerson  `json:"person"`
	Service  string         `json:"service"`
	Method   string         `json:"method"`
}

// AccessWorkload is the workload that calls.
type AccessWorkload struct {
	State   string `json:"state"`
	Service string `json:"service"`
}

// AccessPerson is who it calls for.
type AccessPerson struct {
	Subject string   `json:"subject"`
	Roles   []string `json:"roles"`
	Agency  string   `json:"agency"` // "": none
}

// NewAccessInput returns the input for a call of a method of the state's service.
func NewAccessInput(state string, caller Caller, service, method string) AccessInput {
	input := AccessInput{
		State: state, Workload: AccessWorkload{State: caller.State, Service: caller.Service},
		Service: service, Method: method,
	}
	if caller.Person != nil {
		input.Person = &AccessPerson{Subject: caller.Person.Subject, Roles: caller.Person.Roles, Agency: caller.Person.Agency}
	}
	return input
}

// access asks policy whether the caller may. A caller without a token is asked for one where a token could help.
func (s *Server) access(c *call, handler next) next {
	return func(ctx context.Context) error {
		if err := s.mayCall(ctx, c); err != nil {
			return s.status(ctx, c, err)
		}
		return handler(ctx)
	}
}

func (s *Server) mayCall(ctx context.Context, c *call) error {
	caller := CallerFrom(ctx)
	input := NewAccessInput(s.cfg.State, caller, c.service, c.method)
	var allowed bool
	if _, err := s.policies.Evaluate(ctx, "data.comity.access.allow", input, &allowed); err != nil {
		return err
	}
	if allowed {
		return nil
	}
	if caller.Person != nil {
		roles := "without a role"
		if len(caller.Person.Roles) > 0 {
			roles = "as " + strings.Join(caller.Person.Roles, ", ")
		}
		return fault.New(fault.Denied, "ACCESS_DENIED", "%s may not be called %s", c.method, roles)
	}
	var tokenNeeded bool
	if _, err := s.policies.Evaluate(ctx, "data.comity.access.token_needed", input, &tokenNeeded); err != nil {
		return err
	}
	if tokenNeeded {
		return fault.New(fault.Unauthenticated, "TOKEN_MISSING", "%s needs a token", c.method)
	}
	return fault.New(fault.Denied, "ACCESS_DENIED", "%s may not be called by %s of %s", c.method, caller.Service, caller.State)
}
