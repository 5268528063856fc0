package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/google/renameio/v2"
	"github.com/jackc/pgx/v5"

	"github.com/comity-federation/comity/services/internal/authority"
	"github.com/comity-federation/comity/services/internal/pgcluster"
	"github.com/comity-federation/comity/services/internal/region"
	"github.com/comity-federation/comity/services/sharing"
)

// roles are those that a sandbox has a token for.
func roles() []string { return []string{"statistician", "analyst", "officer", "auditor", "admin"} }

// storing are the services that have a database.
func storing() []string { return []string{"statistics", "risk", "sharing"} }

// sandboxNode is one state of a sandbox: its node.
type sandboxNode struct {
	state     *region.State
	base      int    // its ports are base+1 to base+8
	directory string // of its secrets
	authority *authority.Authority
	tokens    map[string]string // a file for each role
	keySet    string            // the file of the keys that verify tokens
	databases map[string]string // a URL for each service that stores
	published string            // the dataflow of which it has published figures; "": it has not
}

// port is the place of a port behind the node's base.
type port int

const (
	gatewayPort port = 1 + iota
	statisticsPort
	riskPort
	sharingPort
	exchangePort
	statisticsOpsPort
	riskOpsPort
	sharingOpsPort
)

func (n *sandboxNode) address(p port) string {
	return net.JoinHostPort(pgcluster.Host, strconv.Itoa(n.base+int(p)))
}

func (n *sandboxNode) gateway() string { return "http://" + n.address(gatewayPort) }

// client returns a client of the node's gateway, for somebody with the role.
func (n *sandboxNode) client(role string) (*client, error) {
	return newClient(n.gateway(), n.tokens[role], role)
}

// addNodes gives each state its place.
func (s *sandbox) addNodes() {
	for i := range s.region.States {
		state := &s.region.States[i]
		s.nodes = append(s.nodes, &sandboxNode{
			state: state, base: s.settings.BasePort + 10*i, directory: s.path(state.Code), databases: map[string]string{},
		})
	}
}

func (s *sandbox) node(code string) *sandboxNode {
	for _, n := range s.nodes {
		if n.state.Code == code {
			return n
		}
	}
	return nil
}

// makeSecrets makes what each state needs to be known by, and the trust list of them all.
func (s *sandbox) makeSecrets() error {
	var states []sharing.TrustedState
	for _, n := range s.nodes {
		var err error
		if n.authority, err = authority.Open(n.directory, n.state.Code); err != nil {
			return err
		}
		if n.tokens, n.keySet, err = n.authority.Tokens(roles()); err != nil {
			return err
		}
		for _, service := range append(storing(), "gateway", "operator") {
			if _, _, err := n.authority.Certificate(service); err != nil {
				return err
			}
		}
		states = append(states, sharing.TrustedState{
			Code:     sharing.StateCode(n.state.Code),
			Name:     n.state.Name,
			Address:  n.address(exchangePort),
			RefAreas: n.state.RefAreas,
			Roots:    n.authority.Root,
			SigningKeys: []sharing.SigningKey{
				{ID: sharing.KeyID(n.authority.Signing), PublicKey: n.authority.Signing},
			},
			LogKey: n.authority.LogKey,
		})
	}
	return s.makeTrustList(states)
}

// makeDatabases gives each service that stores a database and a role of its own, with a password in a file.
func (s *sandbox) makeDatabases(ctx context.Context) (err error) {
	admin, err := s.postgres.Admin(ctx, "postgres")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, admin.Close(ctx)) }()
	for _, n := range s.nodes {
		for _, service := range storing() {
			password, err := n.password(service)
			if err != nil {
				return err
			}
			name := "comity_" + n.state.Code + "_" + service
			if err := makeDatabase(ctx, admin, name, password); err != nil {
				return fmt.Errorf("the database %s: %w", name, err)
			}
			n.databases[service] = s.postgres.URL(name, password, name)
		}
	}
	return nil
}

// makeDatabase makes a database and the role that owns it, both of the same name, where they are missing. Nobody else
// may connect.
func makeDatabase(ctx context.Context, admin *pgx.Conn, name, password string) error {
	var role, database bool
	err := admin.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1),
		       EXISTS (SELECT FROM pg_database WHERE datname = $1)`, name).Scan(&role, &database)
	if err != nil {
		return err
	}
	identifier := pgx.Identifier{name}.Sanitize()
	statements := []string{"ALTER ROLE " + identifier + " LOGIN PASSWORD " + literal(password)}
	if !role {
		statements = append([]string{"CREATE ROLE " + identifier}, statements...)
	}
	if !database {
		statements = append(statements,
			"CREATE DATABASE "+identifier+" OWNER "+identifier,
			"REVOKE ALL ON DATABASE "+identifier+" FROM PUBLIC")
	}
	for _, sql := range statements {
		if _, err := admin.Exec(ctx, sql); err != nil {
			return err
		}
	}
	return nil
}

// literal quotes text for SQL where a statement takes no parameters.
func literal(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// password returns the password of a service's role, making it where there is none.
func (n *sandboxNode) password(service string) (string, error) {
	path := filepath.Join(n.directory, "passwords", service)
	text, err := os.ReadFile(path) //nolint:gosec // our own file
	if err == nil {
		return string(text), nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	password := rand.Text()
	return password, renameio.WriteFile(path, []byte(password), 0o600)
}

// processes returns the four processes of a node.
func (s *sandbox) processes(n *sandboxNode) []process {
	policies := append([]string{s.policies}, n.state.Policies...)
	issuer, audience := n.authority.Issuer()
	common := map[string]string{
		"PATH":            "/usr/local/bin:/usr/bin:/bin",
		"TZ":              "UTC",
		"COMITY_STATE":    n.state.Code,
		"COMITY_ROOT":     n.authority.RootFile(),
		"COMITY_POLICIES": strings.Join(policies, string(filepath.ListSeparator)),
		"COMITY_JWKS":     n.keySet,
		"COMITY_ISSUER":   issuer,
		"COMITY_AUDIENCE": audience,
	}
	addresses := map[string]string{
		"COMITY_STATISTICS": n.address(statisticsPort),
		"COMITY_RISK":       n.address(riskPort),
		"COMITY_SHARING":    n.address(sharingPort),
	}
	all := []process{
		s.process(n, "statistics", statisticsPort, statisticsOpsPort, common, map[string]string{
			"COMITY_CELL_SECRET": n.authority.CellSecret(),
			"COMITY_SWITCHES":    filepath.Join(n.directory, "switches"),
		}),
		s.process(n, "risk", riskPort, riskOpsPort, common, addresses),
		s.process(n, "sharing", sharingPort, sharingOpsPort, common, addresses, map[string]string{
			"COMITY_EXCHANGE_LISTEN": n.address(exchangePort),
			"COMITY_SIGNING_KEY":     n.authority.SigningKey(),
			"COMITY_LOG_KEY":         n.authority.LogSigner(),
			"COMITY_TRUST_LIST":      s.path("trust.json"),
			"COMITY_CRLS":            s.path("crls"),
			"COMITY_SWITCHES":        filepath.Join(n.directory, "switches"),
		}),
		s.process(n, "gateway", gatewayPort, gatewayPort, common, addresses),
	}
	for i := range all[:len(all)-1] { // the gateway leaves it to the services
		all[i].policies = policies
	}
	return all
}

func (s *sandbox) process(n *sandboxNode, service string, listen, ops port, variables ...map[string]string) process {
	own := map[string]string{
		"COMITY_LISTEN":      n.address(listen),
		"COMITY_OPS_LISTEN":  n.address(ops),
		"COMITY_CERTIFICATE": certificateFile(n.directory, service),
		"COMITY_KEY":         strings.TrimSuffix(certificateFile(n.directory, service), ".pem") + ".key",
	}
	ports := map[string]int{service: n.base + int(listen)}
	if ops != listen {
		ports["metrics of "+service] = n.base + int(ops)
	} else {
		delete(own, "COMITY_OPS_LISTEN") // the gateway's are on its own port
	}
	if service == "sharing" {
		ports["exchange"] = n.base + int(exchangePort)
	}
	if url, ok := n.databases[service]; ok {
		own["COMITY_DATABASE_URL"] = url
	}
	var environment []string
	for _, set := range append(variables, own) {
		for name, value := range set {
			environment = append(environment, name+"="+value)
		}
	}
	return process{
		state: n.state.Code, service: service, directory: n.directory,
		binary:      filepath.Join(s.binaries, service),
		environment: environment,
		ports:       ports,
		ready:       "http://" + n.address(ops) + "/readyz",
	}
}

// regionFile is region.json. Paths are relative to its directory.
type regionFile struct {
	States   []stateFile  `json:"states"`
	Postgres postgresFile `json:"postgres"`
}

type stateFile struct {
	Code         string            `json:"code"`
	Name         string            `json:"name"`
	Gateway      string            `json:"gateway"`
	Statistics   string            `json:"statistics"`
	Risk         string            `json:"risk"`
	Sharing      string            `json:"sharing"`
	Exchange     string            `json:"exchange"`
	Tokens       map[string]string `json:"tokens"`
	Certificates string            `json:"certificates"`
	Metrics      map[string]string `json:"metrics"`
	PIDs         map[string]int    `json:"pids"`
}

type postgresFile struct {
	Host string `json:"host"`
	Port int    `json:"port"`
	PID  int    `json:"pid"`
}

// writeRegionFile tells other programs who answers where.
func (s *sandbox) writeRegionFile() error {
	file := regionFile{Postgres: postgresFile{Host: pgcluster.Host, Port: s.postgres.Port, PID: s.postgres.PID}}
	for _, n := range s.nodes {
		state := stateFile{
			Code: n.state.Code, Name: n.state.Name, Gateway: n.gateway(),
			Statistics: n.address(statisticsPort), Risk: n.address(riskPort), Sharing: n.address(sharingPort),
			Exchange: n.address(exchangePort), Certificates: s.relative(n.authority.Certificates()),
			Tokens: map[string]string{}, Metrics: map[string]string{}, PIDs: map[string]int{},
		}
		for role, path := range n.tokens {
			state.Tokens[role] = s.relative(path)
		}
		for _, p := range s.processes(n) {
			state.Metrics[p.service] = strings.TrimSuffix(p.ready, "/readyz") + "/metrics"
			state.PIDs[p.service] = p.pid()
		}
		file.States = append(file.States, state)
	}
	return s.writeJSON("region.json", file)
}

func (s *sandbox) relative(path string) string {
	relative, err := filepath.Rel(s.directory, path)
	if err != nil {
		return path
	}
	return relative
}

// running reports whether the sandbox is up.
func (s *sandbox) running() bool {
	_, err := os.Stat(s.path("region.json"))
	return err == nil
}

// readRegionFile reads region.json; nil: there is none.
func readRegionFile(directory string) (*regionFile, error) {
	text, err := os.ReadFile(filepath.Join(directory, "region.json")) //nolint:gosec // the operator names the directory
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil //nolint:nilnil // nil is "there is none"
	}
	if err != nil {
		return nil, err
	}
	file := &regionFile{}
	return file, json.Unmarshal(text, file)
}
