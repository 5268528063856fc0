package rpc

import (
	"context"
	"strings"

	"github.com/comity-federation/comity/services/fault"
)

// accessInput is the input of data.comity.access.
type accessInput struct {
	State    string         `json:"state"`
	Workload accessWorkload `json:"workload"`
	Person   *accessPerson  `json:"person"`
	Service  string         `json:"service"`
	Method   string         `json:"method"`
}

type accessWorkload struct {
	State   string `json:"state"`
	Service string `json:"service"`
}

type accessPerson struct {
	Subject string   `json:"subject"`
	Roles   []string `json:"roles"`
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
	input := accessInput{
		State: s.cfg.State, Workload: accessWorkload{State: caller.State, Service: caller.Service},
		Service: c.service, Method: c.method,
	}
	if caller.Person != nil {
		input.Person = &accessPerson{Subject: caller.Person.Subject, Roles: caller.Person.Roles}
	}
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
