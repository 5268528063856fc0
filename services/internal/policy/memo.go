package policy

import "sync"

// The bounds of what is remembered.
const (
	maxRemembered = 16 << 20 // bytes of questions and answers, about
	maxQuestion   = 64 << 10 // bytes of one question
)

// memo remembers answers: the same question has the same answer as long as policies and data are the same.
type memo struct {
	mu      sync.Mutex
	era     int // of the data
	size    int
	answers map[string]any
}

// recall returns the answer to a question, and the era that a new answer belongs to.
func (m *memo) recall(question string) (answer any, known bool, era int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	answer, known = m.answers[question]
	return answer, known, m.era
}

// remember keeps an answer of so many bytes, unless the data have changed since its era.
func (m *memo) remember(question string, answer any, size, era int) {
	size += len(question)
	if size > maxQuestion {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if era != m.era {
		return
	}
	if m.answers == nil || m.size+size > maxRemembered {
		m.answers, m.size = map[string]any{}, 0
	}
	m.answers[question] = answer
	m.size += size
}

// forget begins another era.
func (m *memo) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.era++
	m.answers, m.size = nil, 0
}
