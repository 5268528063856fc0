package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
)

func TestPagesDescribeTheAPI(t *testing.T) {
	n := newNode(t)
	answer, body := n.do(t, "GET", "/openapi.json", "")
	var document struct{ OpenAPI string }
	if err := json.Unmarshal([]byte(body), &document); err != nil || !strings.HasPrefix(document.OpenAPI, "3.") || answer.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%d %v %v", answer.StatusCode, err, document)
	}
	for _, path := range []string{"/", "/docs"} {
		answer, body := n.do(t, "GET", path, "")
		if answer.StatusCode != 200 || !strings.Contains(body, "/v1/policy:explain") || !strings.Contains(body, `id="schema-Submission"`) {
			t.Errorf("%s: %d", path, answer.StatusCode)
		}
		if policy := answer.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") {
			t.Errorf("%s: Content-Security-Policy is %q", path, policy)
		}
		_, style, _ := strings.Cut(body, "<style>")
		style, _, _ = strings.Cut(style, "</style>")
		hash := sha256.Sum256([]byte(style))
		if policy := answer.Header.Get("Content-Security-Policy"); !strings.Contains(policy, base64.StdEncoding.EncodeToString(hash[:])) {
			t.Errorf("%s: the policy %q does not let the style in", path, policy)
		}
		if strings.Contains(body, "src=") || strings.Contains(body, "ZgotmplZ") {
			t.Errorf("%s loads something, or was not escaped", path)
		}
	}
}
