package inspect

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
)

// ModuleError says why a module is refused and what to do instead. The sentence
// begins with "the module".
type ModuleError struct {
	What  string
	Limit string // the name of the bound that it is over, or ""
}

// Error returns the sentence.
func (e *ModuleError) Error() string { return e.What }

func refuseModule(format string, args ...any) error {
	return &ModuleError{What: fmt.Sprintf(format, args...)}
}

// GateLimits bounds what a module may consist of. In each field 0 means the
// default, which all modules that compilers make are far below, and which the
// compiler of WebAssembly takes a bounded time and memory for. More is refused.
// The names in brackets are those in ModuleError.Limit.
type GateLimits struct {
	Types           int // of functions [module_types]; default 10 000
	Imports         int // [module_imports]; default 64
	Functions       int // of the module's own [module_functions]; default 30 000
	Tables          int // [module_tables]; default 16
	TableEntries    int // that all tables begin with, and that one may grow to [table_entries]; default 65 536
	MemoryPages     int // of 64 KiB, that memory begins with [memory_pages]; default 65 536, all that there can be
	Globals         int // [module_globals]; default 10 000
	Exports         int // [module_exports]; default 10 000
	ElementSegments int // [element_segments]; default 10 000
	Elements        int // in all segments [module_elements]; default 65 536
	DataSegments    int // [data_segments]; default 200 000, because Go makes one for each run of bytes that are not 0
	Params          int // of a function or a block [function_params]; default 64
	Results         int // likewise [function_results]; default 64
	Locals          int // of a function, parameters not counted [function_locals]; default 1 000
	BodyBytes       int // of a function [function_bytes]; default 128 KiB
	Depth           int // of blocks in blocks [block_depth]; default 2 048
	Loops           int // of a function [function_loops]; default 256
	LoopDepth       int // of loops in loops [loop_depth]; default 64
	Targets         int // of one br_table [branch_targets]; default 4 096
	TotalTargets    int // of all in the module [module_branch_targets]; default 524 288
	FunctionWork    int // of the compiler, for one function; see work [function_work]
	ModuleWork      int // for all functions [module_work]
}

func (g GateLimits) withDefaults() GateLimits {
	for field, standard := range map[*int]int{
		&g.Types: 10_000, &g.Imports: 64, &g.Functions: 30_000, &g.Tables: 16, &g.TableEntries: 1 << 16,
		&g.MemoryPages: 1 << 16, &g.Globals: 10_000, &g.Exports: 10_000, &g.ElementSegments: 10_000,
		&g.Elements: 1 << 16, &g.DataSegments: 200_000, &g.Params: 64, &g.Results: 64, &g.Locals: 1000,
		&g.BodyBytes: 128 << 10, &g.Depth: 2048, &g.Loops: 256, &g.LoopDepth: 64, &g.Targets: 4096,
		&g.TotalTargets: 512 << 10, &g.FunctionWork: 3_000_000_000, &g.ModuleWork: 60_000_000_000,
	} {
		*field = cmp.Or(*field, standard)
	}
	return g
}

// Gate reads a module before a compiler sees a byte of it, in time and memory
// that its size bounds, and refuses with a ModuleError what is damaged, over a
// limit, or nothing that weir runs. imports says whether a function may be
// imported; the types are the bytes of the binary format.
//
// What it lets through need not be valid: it does not check the types of
// operands. But every count is true and every index names something.
func Gate(code []byte, limits GateLimits, imports func(module, name string, params, results []byte) error) (*Shape, error) {
	limits = limits.withDefaults()
	s, err := parseWithin(code, limits)
	if err != nil {
		return nil, asModuleError(err)
	}
	for _, i := range s.imports {
		t := &s.types[i.typ]
		if err := imports(i.module, i.name, t.params, t.results); err != nil {
			return nil, err
		}
	}
	for _, e := range s.exports {
		if strings.HasPrefix(e.name, "$") {
			return nil, refuseModule("the module exports %.100q: names that begin with $ are weir's own, so give it another one", e.name)
		}
	}
	if err := s.judgeBodies(&limits); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Shape) judgeBodies(g *GateLimits) error {
	body := scan{Shape: s, limits: g}
	targets, total := 0, 0
	for fn := range s.bodies {
		if err := body.judgeBody(fn); err != nil {
			return asModuleError(err)
		}
		if targets += body.targets; targets > g.TotalTargets {
			return over("module_branch_targets", "the module has more than %d targets of br_table in all: split it into several plugins", g.TotalTargets)
		}
		if total += body.total(); total > g.ModuleWork {
			return over("module_work", "the module would keep the compiler busy for longer than %d s: make it smaller, or split it into several plugins", g.ModuleWork/1_000_000_000)
		}
	}
	return nil
}

func over(limit, format string, args ...any) error {
	return &ModuleError{What: fmt.Sprintf(format, args...), Limit: limit}
}

// asModuleError makes a ModuleError of what the reader found.
func asModuleError(err error) error {
	var module *ModuleError
	if errors.As(err, &module) {
		return module
	}
	return refuseModule("the module is not valid: %v: build it again", err)
}

// boundless are the limits of the reader alone: a few bytes can ask for 2^32 locals.
func boundless() GateLimits {
	const all = 1<<31 - 1
	return GateLimits{
		Types: all, Imports: all, Functions: all, Tables: all, TableEntries: 1<<32 - 1, MemoryPages: 1 << 16,
		Globals: all, Exports: all, ElementSegments: all, Elements: all, DataSegments: all, Params: all, Results: all,
		Locals: 50_000, BodyBytes: all, Depth: all, Loops: all, LoopDepth: all, Targets: all, TotalTargets: all,
		FunctionWork: 1 << 62, ModuleWork: 1 << 62,
	}
}
