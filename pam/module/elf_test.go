package module_test

import (
	"debug/elf"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func open(t *testing.T) *elf.File {
	t.Helper()
	f, err := elf.Open(filepath.Join(built(t), "pam_lockstep.so"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestNeedsLibpamAndLibcOnly(t *testing.T) {
	libraries, err := open(t).ImportedLibraries()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range libraries {
		if !strings.HasPrefix(l, "libpam.so.") && !strings.HasPrefix(l, "libc.so.") {
			t.Errorf("needs %s", l)
		}
	}
}

func TestExportsFunctionsOfPAMOnly(t *testing.T) {
	symbols, err := open(t).DynamicSymbols()
	if err != nil {
		t.Fatal(err)
	}
	var exported []string
	for _, s := range symbols {
		if s.Section != elf.SHN_UNDEF {
			exported = append(exported, s.Name)
		}
	}
	slices.Sort(exported)
	if want := []string{"pam_sm_authenticate", "pam_sm_setcred"}; !slices.Equal(exported, want) {
		t.Errorf("exports %q, want %q", exported, want)
	}
}

// A TLS segment needs room that a host which loads modules late may not have.
func TestSegments(t *testing.T) {
	f := open(t)
	var relro, stack bool
	for _, p := range f.Progs {
		switch p.Type {
		case elf.PT_TLS:
			t.Error("has a TLS segment")
		case elf.PT_GNU_RELRO:
			relro = true
		case elf.PT_GNU_STACK:
			stack = p.Flags&elf.PF_X == 0
		}
	}
	if !relro || !stack {
		t.Errorf("RELRO %t, stack not executable %t", relro, stack)
	}
	flags, err := f.DynValue(elf.DT_FLAGS)
	if err != nil || len(flags) != 1 || elf.DynFlag(flags[0])&elf.DF_BIND_NOW == 0 {
		t.Errorf("DT_FLAGS %v, %v: symbols are bound late", flags, err)
	}
}

// No state beside pamh, or threads would share it.
func TestNothingStaticCanBeWritten(t *testing.T) {
	f := open(t)
	symbols, err := f.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	ofTheCompiler := []string{"completed.0", "__dso_handle", "__TMC_END__", "_DYNAMIC", "_GLOBAL_OFFSET_TABLE_",
		"__frame_dummy_init_array_entry", "__do_global_dtors_aux_fini_array_entry"}
	for _, s := range symbols {
		if elf.ST_TYPE(s.Info) != elf.STT_OBJECT || int(s.Section) >= len(f.Sections) || s.Section == elf.SHN_UNDEF {
			continue
		}
		if f.Sections[s.Section].Flags&elf.SHF_WRITE != 0 && !slices.Contains(ofTheCompiler, s.Name) {
			t.Errorf("%s can be written", s.Name)
		}
	}
}
