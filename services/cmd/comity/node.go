package main

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/services/internal/authority"
	"github.com/comity-federation/comity/services/internal/region"
)

// newNodeCommand returns the commands that set a node up.
func newNodeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "node",
		Short: "Set the node of a state up",
		Args:  cobra.NoArgs,
	}
	cmd.AddCommand(newNodeInitCommand(), newNodeLoadCommand())
	return cmd
}

// nodeSetup is what is told about a node that is set up.
type nodeSetup struct {
	state, directory   string
	policies           []string
	trust              string
	database, exchange string
	basePort           int
}

func newNodeInitCommand() *cobra.Command {
	setup := nodeSetup{}
	cmd := &cobra.Command{
		Use:   "init --state CODE",
		Short: "Make a node's keys, certificates, tokens and settings",
		Long: `Make a node's keys, certificates, tokens and settings in a directory: everything but the binaries, the policies, the
trust list and PostgreSQL.

databases.sql makes the node's databases and their owners, as a superuser. SERVICE.env has the environment of each service.
Certificates last 90 days; the command again renews those in their last 30, and keeps everything else. The tokens are for a
first trial: a real node takes those of the state's own issuer, whose keys and name stand in SERVICE.env.`,
		Args: cobra.NoArgs,
	}
	flags := cmd.Flags()
	flags.StringVar(&setup.state, "state", "", "the `CODE` of the state")
	_ = cmd.MarkFlagRequired("state") // it fails for a flag that is not there
	flags.StringVar(&setup.directory, "dir", "node", "the `DIRECTORY` to make it all in")
	flags.StringSliceVar(&setup.policies, "policies", []string{"policies"}, "the `DIRECTORY` of policies; those after the first are the state's own")
	flags.StringVar(&setup.trust, "trust", "trust.json", "the `FILE` where the trust list will be")
	flags.StringVar(&setup.database, "database", "127.0.0.1:5432", "where PostgreSQL answers, `HOST:PORT`")
	flags.StringVar(&setup.exchange, "exchange", "0.0.0.0:8405", "where the node listens for partners, `HOST:PORT`")
	flags.IntVar(&setup.basePort, "base-port", 8400, "the services listen on loopback, on the ports that follow this `PORT`")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		entry, err := setup.write()
		if err != nil {
			return err
		}
		return show(cmd, fmt.Sprintf(`The node of %s is set up in %s. Next:

  psql --file %s
  for service in statistics risk sharing gateway; do (set -a; . %s/$service.env; exec bin/$service) & done

A trust list takes the node by

  comity trust join --list %s %s
`, setup.state, setup.directory, filepath.Join(setup.directory, "databases.sql"), setup.directory, setup.trust, quoted(entry)))
	}
	return cmd
}

// write makes what is missing. It returns the arguments of `comity trust join` for the node.
func (n nodeSetup) write() (entry []string, err error) {
	for _, path := range append([]*string{&n.directory, &n.trust}, pointers(n.policies)...) {
		if *path, err = filepath.Abs(*path); err != nil {
			return nil, err
		}
	}
	_, exchange, err := net.SplitHostPort(n.exchange)
	if err != nil {
		return nil, fmt.Errorf("--exchange: %w", err)
	}
	secrets, err := authority.Open(n.directory, n.state)
	if err != nil {
		return nil, err
	}
	_, keySet, err := secrets.Tokens(roles())
	if err != nil {
		return nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(secrets.Signing)
	if err != nil {
		return nil, err
	}
	signing := filepath.Join(n.directory, "signing.pub")
	if err := renameio.WriteFile(signing, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), 0o644); err != nil {
		return nil, err
	}
	issuer, audience := secrets.Issuer()
	common := map[string]string{
		"COMITY_STATE": n.state, "COMITY_ROOT": secrets.RootFile(), "COMITY_POLICIES": strings.Join(n.policies, ":"),
		"COMITY_JWKS": keySet, "COMITY_ISSUER": issuer, "COMITY_AUDIENCE": audience,
		"COMITY_STATISTICS": n.address(statisticsPort), "COMITY_RISK": n.address(riskPort), "COMITY_SHARING": n.address(sharingPort),
	}
	own := map[string]map[string]string{
		"statistics": {
			"COMITY_LISTEN": n.address(statisticsPort), "COMITY_OPS_LISTEN": n.address(statisticsOpsPort),
			"COMITY_CELL_SECRET": secrets.CellSecret(),
		},
		"risk": {"COMITY_LISTEN": n.address(riskPort), "COMITY_OPS_LISTEN": n.address(riskOpsPort)},
		"sharing": {
			"COMITY_LISTEN": n.address(sharingPort), "COMITY_OPS_LISTEN": n.address(sharingOpsPort),
			"COMITY_EXCHANGE_LISTEN": n.exchange, "COMITY_SIGNING_KEY": secrets.SigningKey(), "COMITY_LOG_KEY": secrets.LogSigner(),
			"COMITY_TRUST_LIST": n.trust,
		},
		"gateway": {"COMITY_LISTEN": n.address(gatewayPort)},
	}
	var databases strings.Builder
	for _, service := range slices.Sorted(maps.Keys(own)) {
		settings := own[service]
		maps.Copy(settings, common)
		if settings["COMITY_CERTIFICATE"], settings["COMITY_KEY"], err = secrets.Certificate(service); err != nil {
			return nil, err
		}
		if slices.Contains(storing(), service) {
			name := "comity_" + n.state + "_" + service
			password, err := n.password(service)
			if err != nil {
				return nil, err
			}
			settings["COMITY_DATABASE_URL"] = "postgres://" + name + ":" + password + "@" + n.database + "/" + name
			fmt.Fprintf(&databases, "CREATE ROLE %[1]s LOGIN PASSWORD %[2]s;\nCREATE DATABASE %[1]s OWNER %[1]s;\nREVOKE ALL ON DATABASE %[1]s FROM PUBLIC;\n",
				name, literal(password))
		}
		if err := writeEnvironment(filepath.Join(n.directory, service+".env"), settings); err != nil {
			return nil, err
		}
	}
	return []string{
		"--state", n.state, "--name", "NAME", "--address", "HOST:" + exchange, "--ref-area", "CODE",
		"--roots", secrets.RootFile(), "--signing-key", signing, "--log-key", filepath.Join(n.directory, "log.pub"),
	}, renameio.WriteFile(filepath.Join(n.directory, "databases.sql"), []byte(databases.String()), 0o600)
}

func (n nodeSetup) address(p port) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(n.basePort+int(p)))
}

// password returns the password of a service's role, and makes it where there is none.
func (n nodeSetup) password(service string) (string, error) {
	path := filepath.Join(n.directory, "passwords", service)
	text, err := os.ReadFile(path) //nolint:gosec // the operator names the directory
	if !errors.Is(err, os.ErrNotExist) {
		return string(text), err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	password := rand.Text()
	return password, renameio.WriteFile(path, []byte(password), 0o600)
}

// writeEnvironment writes settings as a file that a shell and systemd read.
func writeEnvironment(path string, settings map[string]string) error {
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		if strings.ContainsAny(settings[name], "'\n") {
			return fmt.Errorf("%s: %q cannot stand in a file of settings", name, settings[name])
		}
		fmt.Fprintf(&text, "%s='%s'\n", name, settings[name])
	}
	return renameio.WriteFile(path, []byte(text.String()), 0o600)
}

func pointers(texts []string) []*string {
	all := make([]*string, len(texts))
	for i := range texts {
		all[i] = &texts[i]
	}
	return all
}

func newNodeLoadCommand() *cobra.Command {
	var layouts []string
	cmd := &cobra.Command{
		Use:   "load FILE...",
		Short: "Load structures and layouts into a node",
		Long: `Load structures and layouts into a node: codelists, data structures, dataflows and the maps between them, each file in
YAML or JSON. What is known already stays as it is.`,
		Example: "  comity node load deploy/comity/*.yaml gb/structures.yaml gb/maps.yaml --layout gb/layout.yaml --gateway URL --token FILE",
		Args:    cobra.MinimumNArgs(1),
	}
	node := addTarget(cmd, "statistician")
	cmd.Flags().StringArrayVar(&layouts, "layout", nil, "a `FILE` with the layout of a national file; may be repeated")
	cmd.RunE = func(cmd *cobra.Command, files []string) error {
		client, err := node.open()
		if err != nil {
			return err
		}
		all := &statisticspb.Structures{}
		for _, file := range files {
			some := &statisticspb.Structures{}
			if err := region.ReadMessage(file, some); err != nil {
				return err
			}
			proto.Merge(all, some)
		}
		answer := &statisticspb.CreateStructuresResponse{}
		if err := client.post(cmd.Context(), "/v1/structures", all, answer); err != nil {
			return fmt.Errorf("loading structures: %w", err)
		}
		for _, file := range layouts {
			layout := &statisticspb.Layout{}
			if err := region.ReadMessage(file, layout); err != nil {
				return err
			}
			if err := client.post(cmd.Context(), "/v1/layouts", layout, &statisticspb.CreateLayoutResponse{}); err != nil {
				return fmt.Errorf("loading layout %s: %w", layout.GetId(), err)
			}
		}
		return show(cmd, fmt.Sprintf("%s structures are new, %s were known, %d layouts\n", grouped(answer.GetCreated()), grouped(answer.GetUnchanged()), len(layouts)))
	}
	return cmd
}
