package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// maxAnswer bounds what a gateway may answer at once, in bytes.
const maxAnswer = 64 << 20

// target is how an operator names the node to talk to: a gateway's URL and a file with a token, or a state of the
// region that runs in a directory.
type target struct {
	gateway   string
	tokenFile string
	state     string
	directory string
	role      string
}

// addTarget adds the flags that name a node. The role is whose token is taken from the region; it can be changed with
// --role.
func addTarget(cmd *cobra.Command, role string) *target {
	t := &target{}
	flags := cmd.PersistentFlags()
	flags.StringVar(&t.gateway, "gateway", "", "the `URL` of the state's gateway (with --token)")
	flags.StringVar(&t.tokenFile, "token", "", "a `FILE` that holds the bearer token (with --gateway)")
	flags.StringVar(&t.state, "state", "", "the `CODE` of a state of the region that runs in --dir")
	flags.StringVar(&t.directory, "dir", ".comity", "the `DIRECTORY` of the running region")
	flags.StringVar(&t.role, "role", role, "as whom to call a state of the region")
	return t
}

// open returns the client that the flags name.
func (t *target) open() (*client, error) {
	switch {
	case t.gateway != "" && t.state != "":
		return nil, errors.New("give either --gateway with --token, or --state, not both")
	case t.gateway != "":
		if t.tokenFile == "" {
			return nil, errors.New("--gateway needs --token FILE")
		}
		return newClient(t.gateway, t.tokenFile, "")
	case t.state == "":
		return nil, errors.New("say which node to talk to: --state CODE, or --gateway URL with --token FILE")
	}
	states, err := runningStates(t.directory)
	if err != nil {
		return nil, err
	}
	codes := make([]string, len(states))
	for i, state := range states {
		if state.Code == t.state {
			return state.open(t.role)
		}
		codes[i] = state.Code
	}
	return nil, fmt.Errorf("the region in %s has no state %q; it has %s", t.directory, t.state, strings.Join(codes, ", "))
}

// runningStates returns the states of the region that runs in the directory, with the whole paths of their tokens.
func runningStates(directory string) ([]stateFile, error) {
	file, err := readRegionFile(directory)
	if err != nil {
		return nil, fmt.Errorf("reading the region that runs in %s: %w", directory, err)
	}
	if file == nil {
		return nil, fmt.Errorf("no region runs in %s; start one with `comity sandbox up`, or name its directory with --dir", directory)
	}
	for _, state := range file.States {
		for role, token := range state.Tokens {
			if !filepath.IsAbs(token) {
				state.Tokens[role] = filepath.Join(directory, token)
			}
		}
	}
	return file.States, nil
}

// open returns a client of the state's gateway with the token of the role.
func (s stateFile) open(role string) (*client, error) {
	token, ok := s.Tokens[role]
	if !ok {
		roles := slices.Sorted(maps.Keys(s.Tokens))
		return nil, fmt.Errorf("state %s has no token for the role %q; it has %s", s.Code, role, strings.Join(roles, ", "))
	}
	return newClient(s.Gateway, token, role)
}

// client calls the REST API of one gateway as one person.
type client struct {
	gateway string
	token   string
	role    string // what the token is for, where that is known; for messages
}

func newClient(gateway, tokenFile, role string) (*client, error) {
	u, err := url.Parse(gateway)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("the gateway %q is not a URL such as http://127.0.0.1:8401", gateway)
	}
	token, err := os.ReadFile(tokenFile) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, fmt.Errorf("reading the token: %w", err)
	}
	return &client{gateway: strings.TrimRight(gateway, "/"), token: strings.TrimSpace(string(token)), role: role}, nil
}

// get asks for path and reads the answer into it.
func (c *client) get(ctx context.Context, path string, query url.Values, answer proto.Message) error {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return c.do(ctx, http.MethodGet, path, nil, nil, answer)
}

// post sends the message to path and reads the answer.
func (c *client) post(ctx context.Context, path string, message, answer proto.Message) error {
	body, err := protojson.Marshal(message)
	if err != nil {
		return fmt.Errorf("encoding the request: %w", err)
	}
	return c.do(ctx, http.MethodPost, path, strings.NewReader(string(body)), http.Header{"Content-Type": {"application/json"}}, answer)
}

// do makes a call and reads the answer. Fields of the answer that this program does not know are left out.
func (c *client) do(ctx context.Context, method, path string, body io.Reader, header http.Header, answer proto.Message) error {
	request, err := http.NewRequestWithContext(ctx, method, c.gateway+path, body)
	if err != nil {
		return fmt.Errorf("making the request: %w", err)
	}
	for name, values := range header {
		request.Header[name] = values
	}
	request.Header.Set("Authorization", "Bearer "+c.token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("no gateway answers at %s (is the node running? `comity sandbox status` tells): %w", c.gateway, err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("reading the answer of %s: %w", c.gateway, err)
	}
	if response.StatusCode != http.StatusOK {
		return c.refusal(response, content)
	}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(content, answer); err != nil {
		return fmt.Errorf("%s does not answer as a gateway does: %w", c.gateway+path, err)
	}
	return nil
}

// refusal tells what the gateway said, and what an operator can do about it.
func (c *client) refusal(response *http.Response, content []byte) error {
	var status struct {
		Message string `json:"message"`
		Details []struct {
			Reason          string `json:"reason"`
			FieldViolations []struct {
				Field       string `json:"field"`
				Description string `json:"description"`
			} `json:"fieldViolations"`
		} `json:"details"`
	}
	if err := json.Unmarshal(content, &status); err != nil || status.Message == "" {
		return fmt.Errorf("%s answered %s", c.gateway, response.Status)
	}
	text := strings.Builder{}
	text.WriteString(status.Message)
	for _, detail := range status.Details {
		if detail.Reason != "" {
			fmt.Fprintf(&text, " (%s)", detail.Reason)
		}
		for _, violation := range detail.FieldViolations {
			fmt.Fprintf(&text, "\n  %s: %s", violation.Field, violation.Description)
		}
	}
	switch response.StatusCode {
	case http.StatusForbidden:
		if c.role != "" {
			fmt.Fprintf(&text, "\nThe call was made as %s; another role may be allowed: --role.", c.role)
		}
	case http.StatusUnauthorized:
		text.WriteString("\nThe token is not valid here or has expired; `comity sandbox up` writes new ones for a sandbox.")
	}
	return errors.New(text.String())
}

// show prints what a command has to say.
func show(cmd *cobra.Command, text string) error {
	_, err := io.WriteString(cmd.OutOrStdout(), text)
	return err
}
