package main

import (
	"flag"
	"strings"
	"testing"
)

func try(args ...string) (status int, out, err string) {
	var o, e strings.Builder
	status = run(args, nil, &o, &e)
	return status, o.String(), e.String()
}

func TestHelpNamesEveryFlagAndItsDefault(t *testing.T) {
	status, out, err := try("-help")
	if status != statusOK || out != help || err != "" {
		t.Errorf("status %d, %q, %q", status, out, err)
	}
	lines := strings.Split(help, "\n    -")
	flags(&options{}).VisitAll(func(f *flag.Flag) {
		for _, line := range lines {
			if strings.HasPrefix(line, f.Name+" ") || strings.HasPrefix(line, f.Name+"\n") {
				if f.DefValue != "" && f.DefValue != "false" && !strings.Contains(line, "["+f.DefValue+"]") {
					t.Errorf("no [%s] in the help of -%s", f.DefValue, f.Name)
				}
				return
			}
		}
		t.Errorf("-%s is not in the help", f.Name)
	})
}

func TestWrongCommandLines(t *testing.T) {
	for _, tt := range []struct{ args, want string }{
		{"-nope", "not defined: -nope"},
		{"-k 0", "want numbers from 1 to 1024"},
		{"-k 1,,8", "want numbers from 1 to 1024"},
		{"-rounds 0", "rounds: want 1 or more"},
		{"-logins 0", "logins: want 1 or more"},
		{"-users 2000001", "users: want 1 to 2000000"},
		{"-rlm-ldap two", "want one, apart, or both"},
		{"-rlm-ldap one,one", "want one, apart, or both"},
		{"out.json", `unexpected argument "out.json"`},
	} {
		status, out, err := try(strings.Fields(tt.args)...)
		if status != statusUsage || out != "" || !strings.HasPrefix(err, "benchpeer: error: ") || !strings.Contains(err, tt.want) || !strings.Contains(err, "\nbenchpeer: hint: ") {
			t.Errorf("%s: status %d, %q, %q; want %d and %q", tt.args, status, out, err, statusUsage, tt.want)
		}
	}
}
