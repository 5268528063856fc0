package policy

import "sync"

// maxPassed bounds how many sets of files are remembered.
const maxPassed = 256

// Tested remembers which policies passed their tests in this process, by the SHA-256 of all that the tests see: the same bytes
// need no second proof, as the engine is the same and there is neither a clock nor chance in the rules. The zero value knows of
// none.
type Tested struct {
	mu     sync.Mutex
	passed map[string]bool // by what revision returns
}

// has reports whether files of the revision passed.
func (t *Tested) has(revision string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.passed[revision]
}

// add remembers that files of the revision passed.
func (t *Tested) add(revision string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.passed == nil || len(t.passed) >= maxPassed {
		t.passed = map[string]bool{}
	}
	t.passed[revision] = true
}
