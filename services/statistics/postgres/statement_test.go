package postgres_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// A table that is distributed by part answers from one node where a statement says which part it means: by a condition of
// equality on part, or by a join on part with a table of the same kind. This file finds statements that do not. It reads SQL as
// tokens, which is enough for the statements of one program; what it takes for wrong it names.

// scope is one SELECT, INSERT, UPDATE or DELETE of a statement, without those inside of it.
type scope struct {
	tokens []string // "(…)" stands for a group that holds a scope of its own
	outer  *scope
}

var tokenPattern = regexp.MustCompile(`(?s)--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|"(?:[^"]|"")*"|\$?[A-Za-z_0-9]+|::|<>|<=|>=|\S`)

// scopesOf cuts a statement into its scopes.
func scopesOf(sql string) []*scope {
	var tokens []string
	for _, token := range tokenPattern.FindAllString(sql, -1) {
		if !strings.HasPrefix(token, "--") && !strings.HasPrefix(token, "/*") {
			tokens = append(tokens, strings.ToLower(token))
		}
	}
	var all []*scope
	cut(tokens, nil, &all)
	return all
}

// cut cuts tokens at UNION and its like, takes groups that hold a statement out, and keeps those that do not.
func cut(tokens []string, outer *scope, all *[]*scope) {
	current := &scope{outer: outer}
	*all = append(*all, current)
	for i := 0; i < len(tokens); i++ {
		switch token := tokens[i]; token {
		case "union", "intersect", "except":
			current = &scope{outer: outer}
			*all = append(*all, current)
		case "(":
			end := closing(tokens, i)
			inner := tokens[i+1 : end]
			first := slices.IndexFunc(inner, func(t string) bool { return t != "(" })
			if first >= 0 && slices.Contains([]string{"select", "insert", "update", "delete", "with", "values"}, inner[first]) {
				cut(inner, current, all)
				current.tokens = append(current.tokens, "(…)")
				i = end
				continue
			}
			current.tokens = append(current.tokens, token)
		default:
			current.tokens = append(current.tokens, token)
		}
	}
}

// closing returns the position of the parenthesis that closes the one at i.
func closing(tokens []string, i int) int {
	for depth := 0; i < len(tokens); i++ {
		switch tokens[i] {
		case "(":
			depth++
		case ")":
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return len(tokens) - 1
}

// use is a table in a scope.
type use struct {
	table, alias string
	verb         string   // "from", "insert", "update", "delete" or "copy"
	columns      []string // of an INSERT or COPY
}

// uses returns the tables that a scope names.
func (s *scope) uses() []use {
	var found []use
	t := s.tokens
	for i := 0; i < len(t); i++ {
		verb := ""
		switch t[i] {
		case "from", "join", "using":
			verb = "from"
			if t[i] == "from" && i > 0 && t[i-1] == "delete" {
				verb = "delete"
			}
			if t[i] == "from" && i > 0 && t[i-1] == "distinct" { // IS DISTINCT FROM
				continue
			}
		case "into":
			verb = "insert"
		case "update":
			if i > 0 && (t[i-1] == "do" || t[i-1] == "for" || t[i-1] == "key") { // ON CONFLICT DO UPDATE, FOR NO KEY UPDATE
				continue
			}
			verb = "update"
		case "copy":
			verb = "copy"
		default:
			continue
		}
		for {
			u, next := s.use(i+1, verb)
			if u.table != "" {
				found = append(found, u)
			}
			i = next - 1
			if verb != "from" || next >= len(t) || t[next] != "," {
				break
			}
			i = next // the next of a list
		}
	}
	return found
}

// use reads the table that stands at i, and returns where it ends.
func (s *scope) use(i int, verb string) (use, int) {
	t := s.tokens
	at := func(i int) string {
		if i < len(t) {
			return t[i]
		}
		return ""
	}
	if at(i) == "only" || at(i) == "lateral" {
		i++
	}
	if !name(at(i)) {
		for i < len(t) && at(i) == "(…)" { // a statement of its own, with an alias
			i++
		}
		if at(i) == "as" {
			i++
		}
		if name(at(i)) {
			i++
		}
		return use{}, i
	}
	u := use{table: strings.Trim(at(i), `"`), verb: verb}
	i++
	for at(i) == "." {
		u.table += "." + strings.Trim(at(i+1), `"`)
		i += 2
	}
	if at(i) == "(" && verb == "from" { // a function
		return use{}, closing(t, i) + 1
	}
	if at(i) == "as" {
		i++
	}
	if name(at(i)) {
		u.alias = at(i)
		i++
	}
	if at(i) == "(" && (verb == "insert" || verb == "copy") {
		for _, token := range t[i:closing(t, i)] {
			if name(token) || strings.HasPrefix(token, `"`) {
				u.columns = append(u.columns, strings.Trim(token, `"`))
			}
		}
	}
	return u, i
}

// name reports whether a token names something, and is no word of SQL that may stand after a table.
func name(token string) bool {
	if token == "" || (token[0] != '"' && token[0] != '_' && (token[0] < 'a' || token[0] > 'z')) {
		return false
	}
	return !slices.Contains([]string{
		"where", "on", "join", "left", "right", "inner", "cross", "full", "group", "order", "limit", "having", "set", "using",
		"select", "values", "returning", "for", "union", "from", "natural", "lateral", "offset", "with", "overriding", "default", "to", "stdin", "as", "and", "window", "fetch",
	}, token)
}

// pinned reports whether a scope, or one around it, says which part of a table is meant. Where it is the scope's only table of
// a kind, the column may stand without the table's name.
func (s *scope) pinned(u use) bool {
	names := []string{u.table}
	if u.alias != "" {
		names = []string{u.alias}
	}
	t := s.tokens
	for i, token := range t {
		if token != "part" {
			continue
		}
		start := i
		if i >= 2 && t[i-1] == "." {
			if !slices.Contains(names, t[i-2]) {
				continue
			}
			start = i - 2
		}
		after := ""
		if i+1 < len(t) {
			after = t[i+1]
		}
		before := ""
		if start > 0 {
			before = t[start-1]
		}
		if after == "=" || after == "in" || before == "=" {
			return true
		}
	}
	for i, token := range t { // JOIN … USING (part, …)
		if token == "using" && i+1 < len(t) && t[i+1] == "(" && slices.Contains(t[i:closing(t, i+1)], "part") {
			return true
		}
	}
	return false
}

// faults says what is wrong with a statement where some tables are distributed by part, and others stay on the coordinator.
func faults(sql string, distributed, others map[string]bool) []string {
	var found []string
	complain := func(format string, values ...any) { found = append(found, fmt.Sprintf(format, values...)) }
	far, near := "", ""
	for _, s := range scopesOf(sql) {
		for _, u := range s.uses() {
			table := strings.TrimPrefix(u.table, "public.")
			if others[table] {
				near = table
			}
			if !distributed[table] {
				continue
			}
			far = table
			switch u.verb {
			case "insert", "copy":
				if !slices.Contains(u.columns, "part") {
					complain("%s into %s without part", u.verb, u.table)
				}
				if i := slices.Index(s.tokens, "conflict"); i >= 0 && i+1 < len(s.tokens) && s.tokens[i+1] == "(" &&
					!slices.Contains(s.tokens[i:closing(s.tokens, i+1)], "part") {
					complain("a conflict in %s that is not of part", u.table)
				}
			default:
				if !s.pinned(u) {
					complain("%s %s, whichever the part", u.verb, u.table)
				}
			}
			if i := slices.Index(s.tokens, "set"); i >= 0 && i+2 < len(s.tokens) && s.tokens[i+1] == "part" {
				complain("a row of %s that changes its part", u.table)
			}
		}
	}
	if far != "" && near != "" {
		complain("%s together with %s, which is on the coordinator alone", far, near)
	}
	return found
}
