package policy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/tester"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/open-policy-agent/opa/v1/util"
)

// maxFile bounds a file of policies or data, in bytes.
const maxFile = 16 << 20

var errNoPolicy = errors.New("the directories hold no policy")

var dataName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)

// files are the files of all directories, in the order of the directories and then of their names.
type files []file

type file struct {
	layer   int    // the number of the directory, from 0
	name    string // "<layer>/<path in the directory>", with slashes
	content []byte
}

// read reads the files that make up policies. Other files, and those whose name begins with a dot, are passed over.
func read(directories []string) (*files, error) {
	var all files
	for i, directory := range directories {
		err := filepath.WalkDir(directory, func(name string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if name != directory && strings.HasPrefix(entry.Name(), ".") {
				if entry.IsDir() {
					return filepath.SkipDir
				}
				return nil
			}
			if entry.IsDir() || !slices.Contains([]string{".rego", ".json", ".yaml", ".yml"}, path.Ext(entry.Name())) {
				return nil
			}
			info, err := os.Stat(name)
			if err != nil {
				return err
			}
			if info.Size() > maxFile {
				return fmt.Errorf("%s has %d bytes, more than %d", name, info.Size(), maxFile)
			}
			content, err := os.ReadFile(name) //nolint:gosec // the operator names the directories
			if err != nil {
				return err
			}
			inside, err := filepath.Rel(directory, name)
			if err != nil {
				return err
			}
			all = append(all, file{layer: i, name: strconv.Itoa(i) + "/" + filepath.ToSlash(inside), content: content})
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("reading policies: %w", err)
		}
	}
	return &all, nil
}

// revision is the SHA-256 over each file's name, length and content, in hexadecimal digits.
func (f *files) revision() string {
	digest := sha256.New()
	for _, file := range *f {
		fmt.Fprintf(digest, "%q %d\n", file.name, len(file.content))
		digest.Write(file.content)
	}
	return hex.EncodeToString(digest.Sum(nil))
}

// layers returns how many directories have files.
func (f *files) layers() int {
	if len(*f) == 0 {
		return 0
	}
	return (*f)[len(*f)-1].layer + 1
}

// parse splits the files into modules and data.
func (f *files) parse() (modules map[string]*ast.Module, data map[string]any, err error) {
	modules, data = map[string]*ast.Module{}, map[string]any{}
	for _, file := range *f {
		if path.Ext(file.name) == ".rego" {
			module, err := ast.ParseModuleWithOpts(file.name, string(file.content), ast.ParserOptions{
				RegoVersion: ast.RegoV1, ProcessAnnotation: true, Capabilities: capabilities(),
			})
			if err != nil {
				return nil, nil, err
			}
			modules[file.name] = module
			continue
		}
		var content any
		if err := util.Unmarshal(file.content, &content); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", file.name, err)
		}
		steps := strings.Split(path.Dir(file.name), "/")[1:]
		for _, step := range slices.Backward(steps) {
			content = map[string]any{step: content}
		}
		object, ok := content.(map[string]any)
		if !ok {
			return nil, nil, fmt.Errorf("%s: the top of a data file must be an object", file.name)
		}
		merge(data, object)
	}
	return modules, data, nil
}

// merge lays over into base: objects are merged and lists are joined, so that what a state's law forbids comes on top of
// what all forbid. Anything else of over takes the place of what base has.
func merge(base, over map[string]any) {
	for key, value := range over {
		switch above := value.(type) {
		case map[string]any:
			if below, ok := base[key].(map[string]any); ok {
				merge(below, above)
				continue
			}
		case []any:
			if below, ok := base[key].([]any); ok {
				base[key] = slices.Concat(below, above)
				continue
			}
		}
		base[key] = value
	}
}

// upTo returns the files that the tests of a layer see: those of the layers up to it, and of the tests its own.
func (f *files) upTo(last int) *files {
	seen := slices.DeleteFunc(slices.Clone(*f), func(file file) bool {
		return file.layer > last || file.layer < last && isTest(file.name)
	})
	return &seen
}

// compileSet compiles the files in strict mode and, unless tested is nil, runs their tests: those of each directory with that
// directory and the ones before it. Those that passed before are not run again.
func compileSet(ctx context.Context, f *files, tested *Tested) (*set, error) {
	if f.layers() == 0 {
		return nil, errNoPolicy
	}
	var modules map[string]*ast.Module
	var data map[string]any
	for layer := range f.layers() {
		seen := f.upTo(layer)
		proven := tested == nil || tested.has(seen.revision())
		if proven && layer < f.layers()-1 {
			continue
		}
		var err error
		if modules, data, err = seen.parse(); err != nil {
			return nil, err
		}
		if proven || !hasTests(modules) {
			continue
		}
		if err := runTests(ctx, modules, data, nil); err != nil {
			return nil, err
		}
		tested.add(seen.revision())
	}
	maps.DeleteFunc(modules, func(name string, _ *ast.Module) bool { return isTest(name) })
	if len(modules) == 0 {
		return nil, errNoPolicy
	}
	s := &set{revision: f.revision(), files: f, data: data, store: newStore(data)}
	err := storage.Txn(ctx, s.store, storage.TransactionParams{}, func(txn storage.Transaction) error {
		s.compiler = newCompiler().WithPathConflictsCheck(storage.NonEmpty(ctx, s.store, txn))
		if s.compiler.Compile(modules); s.compiler.Failed() {
			return s.compiler.Errors
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

func hasTests(modules map[string]*ast.Module) bool {
	for name := range modules {
		if isTest(name) {
			return true
		}
	}
	return false
}

func isTest(name string) bool { return strings.HasSuffix(name, "_test.rego") }

func newStore(data map[string]any) storage.Store {
	return inmem.NewFromObjectWithOpts(data, inmem.OptReturnASTValuesOnRead(true))
}

func newCompiler() *ast.Compiler {
	return ast.NewCompiler().WithStrict(true).WithCapabilities(capabilities())
}

// capabilities are those of the language without what could make one answer differ from another with the same input:
// network, clock, random numbers, environment.
func capabilities() *ast.Capabilities {
	c := ast.CapabilitiesForThisVersion()
	c.Builtins = slices.DeleteFunc(c.Builtins, (*ast.Builtin).IsNondeterministic)
	c.AllowNet = []string{}
	return c
}

// runTests runs the tests among the modules, and reports those that did not pass. Coverage, if asked for, is of all
// that they ran.
func runTests(ctx context.Context, modules map[string]*ast.Module, data map[string]any, coverage topdown.QueryTracer) error {
	store := newStore(data)
	return storage.Txn(ctx, store, storage.TransactionParams{}, func(txn storage.Transaction) error {
		runner := tester.NewRunner().
			SetCompiler(newCompiler().WithPathConflictsCheck(storage.NonEmpty(ctx, store, txn))).
			SetStore(store).
			SetModules(modules).
			SetTimeout(testTimeout).
			CapturePrintOutput(false).
			RaiseBuiltinErrors(true).
			SetCoverageQueryTracer(coverage)
		results, err := runner.RunTests(ctx, txn)
		if err != nil {
			return err
		}
		var failures []error
		for result := range results {
			switch {
			case result.Error != nil:
				failures = append(failures, fmt.Errorf("%s: %s.%s: %w", result.Location.File, result.Package, result.Name, result.Error))
			case result.Fail:
				failures = append(failures, fmt.Errorf("%s:%d: test %s.%s does not hold%s",
					result.Location.File, result.Location.Row, result.Package, result.Name, failedCases(result.SubResults)))
			}
		}
		slices.SortFunc(failures, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
		return errors.Join(failures...)
	})
}

// failedCases names the cases of a table of tests that do not hold.
func failedCases(results tester.SubResultMap) string {
	var names []string
	for name, result := range results.Iter {
		if result.Fail && len(result.SubResults) == 0 {
			names = append(names, strings.Join(name, "/"))
		}
	}
	if len(names) == 0 {
		return ""
	}
	return ": " + strings.Join(names, ", ")
}

// supplyAll writes each value to data under its name.
func (s *set) supplyAll(ctx context.Context, values map[string]any) error {
	for name, value := range values {
		if err := s.supply(ctx, name, value); err != nil {
			return err
		}
	}
	return nil
}

// supply writes value to data.<name>.
func (s *set) supply(ctx context.Context, name string, value any) error {
	if !dataName.MatchString(name) {
		return fmt.Errorf("%q is no name for data: use lower-case letters, digits and underscores", name)
	}
	if len(s.compiler.GetRulesWithPrefix(ast.DefaultRootRef.Append(ast.StringTerm(name)))) > 0 {
		return fmt.Errorf("data.%s is made by policies, and cannot be supplied", name)
	}
	if _, held := s.data[name]; held {
		return fmt.Errorf("data.%s is in the files of the policies, and cannot be supplied", name)
	}
	if err := storage.WriteOne(ctx, s.store, storage.AddOp, storage.Path{name}, value); err != nil {
		return fmt.Errorf("supplying data.%s: %w", name, err)
	}
	s.memo.forget() // once the data are there: an answer that began before belongs to the era before
	return nil
}
