package statistics

import (
	"fmt"
	"slices"
	"strings"
)

// circle finds a circle among nodes, of which next gives those that one leads to. It returns the nodes of the first one that
// it meets, the first of them once more at the end, or nil.
func circle[N comparable](nodes []N, next func(N) []N) []N {
	done := map[N]bool{}
	type step struct {
		node N
		rest []N
	}
	for _, start := range nodes {
		if done[start] {
			continue
		}
		way := []step{{start, next(start)}} // a slice, not calls: a chain may be as long as a codelist
		on := map[N]bool{start: true}
		for len(way) > 0 {
			last := &way[len(way)-1]
			if len(last.rest) == 0 {
				done[last.node] = true
				delete(on, last.node)
				way = way[:len(way)-1]
				continue
			}
			node := last.rest[0]
			last.rest = last.rest[1:]
			if on[node] {
				from := slices.IndexFunc(way, func(s step) bool { return s.node == node })
				var found []N
				for _, s := range way[from:] {
					found = append(found, s.node)
				}
				return append(found, node)
			}
			if !done[node] {
				way = append(way, step{node, next(node)})
				on[node] = true
			}
		}
	}
	return nil
}

// parentsFirst returns the items in an order in which parents come before their children, which is theirs where it is one
// already. A parent that is not there, and items in a circle, stay where they are for a check to find.
func parentsFirst[T any](items []T, id, parent func(*T) string) []T {
	positions := make(map[string]int, len(items))
	sorted := true
	for i := range items {
		if p := parent(&items[i]); p != "" {
			if _, ok := positions[p]; !ok {
				sorted = false
			}
		}
		if _, twice := positions[id(&items[i])]; !twice {
			positions[id(&items[i])] = i
		}
	}
	if sorted {
		return items
	}
	made := make([]T, 0, len(items))
	placed := make([]bool, len(items))
	for i := range items {
		var chain []int // the item and those of its ancestors that have no place yet
		for at := i; !placed[at]; {
			placed[at] = true
			chain = append(chain, at)
			up, ok := positions[parent(&items[at])]
			if !ok {
				break
			}
			at = up
		}
		for _, at := range slices.Backward(chain) {
			made = append(made, items[at])
		}
	}
	return made
}

// parentCircle returns the ids of items that are each other's parents in a circle, or nil.
func parentCircle[T any](items []T, id, parent func(*T) string) []string {
	parents := make(map[string]string, len(items))
	ids := make([]string, len(items))
	for i := range items {
		ids[i] = id(&items[i])
		parents[ids[i]] = parent(&items[i])
	}
	return circle(ids, func(id string) []string {
		if parents[id] == "" {
			return nil
		}
		return []string{parents[id]}
	})
}

func codeCircle(codes []Code) []string {
	return parentCircle(codes, func(c *Code) string { return c.ID }, func(c *Code) string { return c.Parent })
}

func conceptCircle(concepts []Concept) []string {
	return parentCircle(concepts, func(c *Concept) string { return c.ID }, func(c *Concept) string { return c.Parent })
}

// shownCircle writes the nodes of a circle one after another, of a long one not all.
func shownCircle[N any](nodes []N) string {
	const most = 10
	var texts []string
	for i, node := range nodes {
		if i == most && len(nodes) > most+1 {
			texts = append(texts, "…")
			node = nodes[len(nodes)-1]
		}
		texts = append(texts, shown(fmt.Sprint(node)))
		if i == most {
			break
		}
	}
	return strings.Join(texts, " → ")
}
