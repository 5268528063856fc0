package sharing

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Governance says how the structures that states share are changed. It stands in the trust list, which officers sign.
type Governance struct {
	// Quorum is how many states sign a change before it takes effect: a number such as "5", or a part of those on the
	// list such as "2/3"; "": all.
	Quorum string `json:"quorum,omitempty"`
	// Agencies are those whose structures are shared; none: the agency of the dataflow that states share. Of other agencies
	// nothing can be changed by others.
	Agencies []string `json:"agencies,omitempty"`
}

// maxAgencies is how many agencies can be shared.
const maxAgencies = 100

// needs returns how many of so many states have to sign; at least 1.
func (g Governance) needs(states int) (int, error) {
	part, whole, isPart := strings.Cut(g.Quorum, "/")
	if g.Quorum == "" {
		part, whole, isPart = "1", "1", true
	}
	n, err := strconv.ParseUint(part, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("the quorum %q is neither a number such as 5 nor a part such as 2/3", g.Quorum)
	}
	if !isPart {
		return int(n), nil
	}
	of, err := strconv.ParseUint(whole, 10, 16)
	if err != nil || n > of {
		return 0, fmt.Errorf("the quorum %q is neither a number such as 5 nor a part such as 2/3", g.Quorum)
	}
	return max(1, (states*int(n)+int(of)-1)/int(of)), nil
}

func (g Governance) check() error {
	if _, err := g.needs(1); err != nil {
		return err
	}
	if len(g.Agencies) > maxAgencies || slices.Contains(g.Agencies, "") {
		return fmt.Errorf("an agency whose structures are shared is empty, or there are more than %d", maxAgencies)
	}
	return nil
}
