package sharing

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/comity-federation/comity/proto/filter"
)

// Condition is a filter as decisions and releases keep it in JSON:
//
//	{"op": "and", "operands": [{"op": "in", "component": "INDICATOR", "values": ["1A"]}]}
//
// The operators have the names that [filter.Op] gives them.
type Condition struct{ filter.Filter }

type conditionJSON struct {
	Op        string      `json:"op"`
	Component string      `json:"component,omitempty"`
	Values    []string    `json:"values,omitempty"`
	Operands  []Condition `json:"operands,omitempty"`
}

// MarshalJSON writes the filter.
func (c Condition) MarshalJSON() ([]byte, error) {
	node := conditionJSON{Op: c.Op.String(), Component: c.Component, Values: c.Values}
	for _, operand := range c.Operands {
		node.Operands = append(node.Operands, Condition{operand})
	}
	return json.Marshal(node)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (c *Condition) UnmarshalJSON(data []byte) error {
	var node conditionJSON
	if err := json.Unmarshal(data, &node); err != nil {
		return err
	}
	c.Filter = filter.Filter{Component: node.Component, Values: node.Values}
	for op := filter.OpAnd; ; op++ {
		if op > filter.OpEndsWith {
			return fmt.Errorf("%q is no operator", node.Op)
		}
		if op.String() == node.Op {
			c.Op = op
			break
		}
	}
	for _, operand := range node.Operands {
		c.Operands = append(c.Operands, operand.Filter)
	}
	return nil
}

// equal reports whether two conditions are written alike.
func (c Condition) equal(other Condition) (bool, error) {
	one, err := json.Marshal(c)
	if err != nil {
		return false, err
	}
	two, err := json.Marshal(other)
	return bytes.Equal(one, two), err
}
