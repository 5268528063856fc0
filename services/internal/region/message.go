package region

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// ReadMessage reads a YAML file that holds the protobuf JSON of m. A field that m does not have is an error.
func ReadMessage(path string, m proto.Message) error {
	text, err := os.ReadFile(path) //nolint:gosec // the operator names the file
	if err != nil {
		return err
	}
	var root yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if root.Kind != yaml.DocumentNode {
		return fmt.Errorf("%s: it is empty", path)
	}
	if err := decode(root.Content[0], m); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// readAll reads each of the files and patterns as a message.
func readAll[T any, P interface {
	*T
	proto.Message
}](dir string, names []string) ([]P, error) {
	paths, err := expand(dir, names)
	if err != nil {
		return nil, err
	}
	var messages []P
	for _, path := range paths {
		m := P(new(T))
		if err := ReadMessage(path, m); err != nil {
			return nil, err
		}
		messages = append(messages, m)
	}
	return messages, nil
}

// decode reads a YAML node as the protobuf JSON of m.
func decode(node *yaml.Node, m proto.Message) error {
	value, err := plain(node)
	if err != nil {
		return err
	}
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return protojson.Unmarshal(text, m)
}

// plain turns a node into what encoding/json writes. Numbers and dates become strings with the text as it stands, which
// protobuf JSON takes for numbers as well.
func plain(node *yaml.Node) (any, error) {
	switch node.Kind {
	case yaml.AliasNode:
		return plain(node.Alias)
	case yaml.SequenceNode:
		list := make([]any, len(node.Content))
		for i, item := range node.Content {
			value, err := plain(item)
			if err != nil {
				return nil, err
			}
			list[i] = value
		}
		return list, nil
	case yaml.MappingNode:
		object := make(map[string]any, len(node.Content)/2)
		for i := 0; i+1 < len(node.Content); i += 2 {
			key := node.Content[i]
			if _, twice := object[key.Value]; twice {
				return nil, fmt.Errorf("line %d: %s stands here twice", key.Line, key.Value)
			}
			value, err := plain(node.Content[i+1])
			if err != nil {
				return nil, err
			}
			object[key.Value] = value
		}
		return object, nil
	case yaml.ScalarNode:
		switch node.ShortTag() {
		case "!!bool":
			return node.Value == "true" || node.Value == "True" || node.Value == "TRUE", nil
		case "!!null":
			return nil, nil //nolint:nilnil // JSON's null
		}
		return node.Value, nil
	case yaml.DocumentNode:
	}
	return nil, errors.New("it is no YAML value")
}
