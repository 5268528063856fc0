package doctor

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/comity-federation/comity/services/internal/policy"
)

// node asks the service whether it is ready.
func (e *examiner) node(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	url := "http://" + e.OpsListen + "/readyz"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		e.fail("node", e.OpsListen, err.Error(), "correct COMITY_OPS_LISTEN: host:port")
		return
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		e.fail("node", url, fmt.Sprintf("the sharing service does not answer: %v", err), "start it, and read the last lines of its log if it ends again")
		return
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if response.StatusCode != http.StatusOK {
		e.fail("node", url, "the sharing service is not ready: "+strings.TrimSpace(string(text)), "mend what it says; it becomes ready by itself")
	}
}

// policies loads the policies as the service does, and runs their tests.
func (e *examiner) policies(ctx context.Context) {
	if _, err := policy.Open(ctx, e.directories(), quiet()); err != nil {
		e.fail("policy", e.Policies, fmt.Sprintf("the policies do not load: %v", err),
			"put the last good files back, or mend the rule or the test that it names; until then a running service decides by the last good policies, and one that is started refuses to")
	}
}
