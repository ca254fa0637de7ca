package ldapsync

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"lockstep/ldapsync/ldaptest"
	"lockstep/ldapsync/ldif"
)

// attributes makes a rawEntry of names and values in turn.
func attributes(dn string, id int, values ...string) rawEntry {
	u := ldaptest.UUID(id)
	return rawEntry{dn: []byte(dn), uuid: u[:], get: func(attr string) (all [][]byte) {
		for i := 0; i < len(values); i += 2 {
			if strings.EqualFold(values[i], attr) {
				all = append(all, []byte(values[i+1]))
			}
		}
		return all
	}}
}

// modelEntry is what a model knows of an entry.
type modelEntry struct {
	dn    string
	names []string
	key   string
	seen  bool
}

// model is a directory in the simplest way.
type model map[int]*modelEntry

func (m model) put(id int, e modelEntry) {
	for other, known := range m {
		if other != id && known.dn == e.dn {
			delete(m, other)
		}
	}
	e.seen = true
	m[id] = &e
	if e.key == "" {
		delete(m, id)
	}
}

func (m model) lookup(name string) string {
	var found []int
	for id, e := range m {
		if slices.Contains(e.names, name) {
			found = append(found, id)
		}
	}
	switch len(found) {
	case 0:
		return ErrNoAccount.Error()
	case 1:
		return fmt.Sprint(uuidText(found[0]), " ", m[found[0]].dn, " ", m[found[0]].key)
	}
	return ErrAmbiguous.Error()
}

func shown(r *replica, name string) string {
	a, err := r.lookup(name, opened)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(a.ID, " ", a.DN, " ", unpadded.EncodeToString(a.Tokens[0].Key.Reveal()))
}

func TestReplicaAgainstAModel(t *testing.T) {
	t.Parallel()
	const ids, people = 60, 50
	name := func(rng *rand.Rand) string { return fmt.Sprint("n", rng.IntN(people)) }
	for seed := range uint64(8) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(seed, 2))
			r, m := replicaFor(t), model{}
			r.begin()
			r.complete(time.Now())
			for step := range 1500 {
				switch id := rng.IntN(ids); rng.IntN(20) {
				case 0, 1, 2:
					u := ldaptest.UUID(id)
					r.delete("\x00" + string(u[:]))
					delete(m, id)
				case 3:
					r.begin()
					for _, e := range m {
						e.seen = false
					}
				case 4, 5:
					u := ldaptest.UUID(id)
					known := r.keep("\x00" + string(u[:]))
					if (m[id] != nil) != known {
						t.Fatalf("step %d: known %v", step, known)
					}
					if known {
						m[id].seen = true
					}
				case 6:
					gone := 0
					for id, e := range m {
						if !e.seen {
							gone++
							delete(m, id)
						}
					}
					if n, _ := r.missing(); n != gone {
						t.Fatalf("step %d: %d missing, want %d", step, n, gone)
					}
					r.sweep()
				default:
					e := modelEntry{dn: dn(fmt.Sprint("d", rng.IntN(people))), names: []string{name(rng)}, key: []string{key1, key2, key1, key2, ""}[rng.IntN(5)]}
					if rng.IntN(3) == 0 {
						e.names = append(e.names, name(rng))
					}
					values := []string{"uid", e.names[0], "uid", strings.ToUpper(e.names[len(e.names)-1])}
					if e.key != "" {
						values = append(values, "oathSecret", e.key)
					}
					r.put(attributes(e.dn, id, values...))
					m.put(id, e)
				}
				for n := range people {
					if got, want := shown(r, fmt.Sprint("n", n)), m.lookup(fmt.Sprint("n", n)); got != want {
						t.Fatalf("step %d, n%d: %s, want %s", step, n, got, want)
					}
				}
				if _, n, _ := r.state(); n != len(m) {
					t.Fatalf("step %d: %d enrolled, want %d", step, n, len(m))
				}
			}
		})
	}
}

// Whoever was there throughout is found at any moment, whatever happens to their
// entry and to others.
func TestReadersMissNobody(t *testing.T) {
	t.Parallel()
	const steady = 40
	r := replicaFor(t)
	put := func(round, id int) {
		name := fmt.Sprint("s", id)
		// The DN changes, the key, and a second name that comes and goes.
		values := []string{"uid", name, "oathSecret", []string{key1, key2}[round%2]}
		if round%3 == 0 {
			values = append(values, "uid", name+"-too")
		}
		r.put(attributes(fmt.Sprintf("uid=%s,ou=%d", name, round%5), id, values...))
	}
	r.begin()
	for id := range steady {
		put(0, id)
	}
	r.complete(time.Now())
	stop := make(chan struct{})
	var wait sync.WaitGroup
	for range 2 {
		wait.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				name := fmt.Sprint("s", n%steady)
				if a, err := r.lookup(name, opened); err != nil || len(a.Tokens) != 1 || a.ID != uuidText(n%steady) {
					t.Errorf("%s: %+v, %v", name, a, err)
					return
				}
			}
		})
	}
	rng := rand.New(rand.NewPCG(1, 3))
	for round := range 8 {
		r.begin()
		for id := range steady {
			for n := range 30 {
				put(round+n, id)
			}
			put(round, id)
			for range 20 { // so that the indexes grow, and fill with what has gone
				n := rng.IntN(2000)
				r.put(attributes(dn(fmt.Sprint("x", n)), 1000+n, "uid", fmt.Sprint("x", n), "oathSecret", key1))
			}
		}
		r.sweep()
		r.settle()
	}
	close(stop)
	wait.Wait()
}

func TestUnusableOnesAreToldOfAnyNumber(t *testing.T) {
	t.Parallel()
	log, logged := logTo(t)
	r := replicaFor(t, func(c *Config) { c.Log = log })
	r.begin()
	for n := range 1000 {
		r.put(attributes(dn(fmt.Sprint("g", n)), n, "uid", fmt.Sprint("g", n), "oathSecret", key1))
	}
	for n := range 30 {
		r.put(attributes(dn(fmt.Sprint("b", n)), 2000+n, "uid", fmt.Sprint("b", n), "oathSecret", "x"))
	}
	r.put(attributes(dn("p"), 3000, "uid", "p", "oathSecret", key1, "oathTOTPParams", "cn=absent,dc=example,dc=org"))
	r.put(attributes(dn("q"), 3001, "uid", "q", "oathSecret", key1, "oathTOTPParams", "cn=late,dc=example,dc=org"))
	r.put(attributes(dn("twin"), 3002, "uid", "g500", "oathSecret", key1))
	r.put(attributes("cn=late,dc=example,dc=org", 3003, "objectClass", "oathTOTPParams", "oathOTPLength", "6"))
	r.complete(time.Now())
	if n := strings.Count(logged(), "\n"); n != mostTold+1 || !strings.Contains(logged(), "entries=12") {
		t.Errorf("%d lines, want %d and that there are 12 more:\n%s", n, mostTold+1, logged())
	}
	r.settle()
	if n := strings.Count(logged(), "\n"); n != mostTold+1 {
		t.Errorf("told again:\n%s", logged())
	}
}

// What an entry refers to may come after it, also where many come.
func TestADisabledOwnerIsToldInWhateverOrder(t *testing.T) {
	t.Parallel()
	log, logged := logTo(t)
	r := replicaFor(t, func(c *Config) { c.Log, c.Schema = log, "freeipa" })
	r.begin()
	for n := range fewToOpen + 10 {
		r.put(attributes(fmt.Sprintf("ipatokenUniqueID=%d,cn=otp", n), n, "objectClass", "ipatokenTOTP", "ipatokenOTPkey", key1, "ipatokenOwner", dn(fmt.Sprint("o", n))))
	}
	r.put(attributes(dn("o105"), 2000, "uid", "o105", "nsAccountLock", "TRUE"))
	r.complete(time.Now())
	if n := strings.Count(logged(), "\n"); n != 1 || !strings.Contains(logged(), "user=o105 reason=\"disabled in the directory (nsAccountLock)\"") {
		t.Errorf("want one line, about o105:\n%s", logged())
	}
}

func TestARecordHoldsWhatWasPacked(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 70_000)
	var text []byte
	want := []struct {
		f field
		v string
	}{{fieldID, "\x00id"}, {fieldDN, ""}, {fieldName, "alice"}, {fieldName, "bob"}, {fieldKey, long}, {fieldKey, strings.Repeat("y", 127)},
		{fieldKey, strings.Repeat("z", 128)}, {fieldClass, "\x00\xff"}}
	for _, w := range want {
		text = appendField(text, w.f, w.v)
	}
	r := &record{text: string(text)}
	n := 0
	for f, v := range r.fields() {
		if f != want[n].f || v != want[n].v {
			t.Errorf("field %d: %d of %d octets, want %d of %d", n, f, len(v), want[n].f, len(want[n].v))
		}
		n++
	}
	if n != len(want) || r.first(fieldKey) != long || !slices.Equal(r.all(fieldName), []string{"alice", "bob"}) || r.has(fieldName, "al") || r.first(fieldOwner) != "" {
		t.Errorf("%d fields, %q", n, r.all(fieldName))
	}
}

// Whatever an entry holds, it is an account or it is not, and nothing breaks.
func FuzzPack(f *testing.F) {
	f.Add("uid=alice,dc=x", "alice", "oathTOTPToken", key1, "cn=p,dc=x", "6", "TRUE")
	f.Add("", "", "", "", "", "", "")
	f.Add("ipatokenUniqueID=1,dc=x", "uid=alice,dc=x", "ipatokenTOTP", "12345678901234567890", "20260101000000Z", "8", "0")
	f.Add("\xff=\x00", "TOTP-Secret", "oathTOTPParams", `TOTP-Secret := "`+key1+`"`, "uid=a+uid=b", "-1", "514")
	f.Add("cn=#04", "ａ", "oathTOTPUser", "{HPKE}1$AAAAAAAA$", "cn=#0404", "99999999999999999999", "000001010000Z")
	f.Fuzz(func(t *testing.T, dn, login, class, key, other, number, flag string) {
		for _, schema := range []string{"oath", "freeipa", "freeradius", "ad"} {
			for _, delegate := range []bool{false, schema == "oath" || schema == "freeipa"} {
				r := replicaFor(t, func(c *Config) { c.Schema, c.Delegate = schema, delegate })
				s := r.schema
				r.begin()
				r.put(rawEntry{dn: []byte(dn), get: func(attr string) [][]byte {
					switch {
					case attr == "":
						t.Error("asked for no attribute")
					case attr == s.login, attr == s.owner:
						return [][]byte{[]byte(login)}
					case attr == "objectClass":
						return [][]byte{[]byte(class), []byte("top")}
					case attr == s.key:
						return [][]byte{[]byte(key), []byte(other)}
					case attr == s.token, attr == s.params, attr == s.notBefore, attr == s.serial, attr == "entryUUID":
						return [][]byte{[]byte(other)}
					case attr == s.digits, attr == s.period, attr == s.algorithm, attr == "objectGUID":
						return [][]byte{[]byte(number)}
					}
					return [][]byte{[]byte(flag)}
				}})
				r.put(attributes(other, 1, "uid", login, s.key, key))
				r.complete(time.Now())
				lookedUp(t, r)
				r.sweep()
				r.begin()
				r.sweep()
				if _, n, _ := r.state(); n != 0 || r.ids.live+r.names.live+r.dns.live != 0 {
					t.Errorf("%d entries, and %d %d %d records after all have gone", n, r.ids.live, r.names.live, r.dns.live)
				}
			}
		}
	})
}

func lookedUp(t *testing.T, r *replica) {
	r.ids.all(func(rec *record) bool {
		for name := range rec.each(fieldName) {
			if again, err := Canonical(name); err != nil || again != name {
				t.Errorf("name %q is not canonical", name)
			}
			a, err := r.lookup(name, opened)
			if err != nil && err != ErrAmbiguous && err != ErrNoAccount && !errors.As(err, new(*UnusableError)) {
				t.Errorf("lookup of %q: %v", name, err)
			}
			for _, token := range a.Tokens {
				if n := token.Key.Len(); err != nil || n < minKey || n > maxKey || token.Digits != 6 && token.Digits != 8 || token.Period <= 0 {
					t.Errorf("token %+v with a key of %d octets, %v", token, n, err)
				}
			}
			if err == nil && len(a.Tokens) == 0 && !a.Delegated {
				t.Errorf("%q is usable without a token", name)
			}
		}
		return true
	})
}

func FuzzPlainDN(f *testing.F) {
	for _, seed := range []string{"uid=alice,ou=People,dc=example,dc=org", "cn= A  b , dc=x", "CN=a=b,dc=x", "cn=a\\,b", "cn=a+uid=b", "2.5.4.3=x", "cn=", "=x",
		"cn=x,", "cn=a b", " cn=x", "cn =x", "cn=x ", "cn=x , dc=y", "cn=ﬁ", "cn=#04", "c-n=x", "-cn=x", "cn=a;dc=b", "cn=\"a\"", "cn=a<b", "cn=x_y@z.9-"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, dn string) {
		got, ok := plainDN(nil, dn)
		if !ok {
			return
		}
		if want, err := ldif.NormalizeDN(dn); err != nil || string(got) != want {
			t.Errorf("plainDN(%q) = %q; want %q, %v", dn, got, want, err)
		}
	})
}

func TestPlainDNsAreTakenForPlain(t *testing.T) {
	t.Parallel()
	for _, dn := range []string{"uid=alice,ou=People,dc=example,dc=org", "CN=Alice  B. Carroll, OU=x,DC=y", "ipatokenUniqueID=0f-1,cn=otp,dc=x"} {
		if _, ok := plainDN(nil, dn); !ok {
			t.Errorf("%q goes the long way", dn)
		}
	}
}

// cookies of servers may be anything.
func FuzzCookies(f *testing.F) {
	f.Add(csn("001:1", "002:2"), csn("002:3"))
	f.Add("rid=000,csn=a#b#c#d;", "csn=")
	f.Add("rid=000,delcsn=x", csn("001:1"))
	f.Fuzz(func(t *testing.T, was, now string) {
		got := mergeCookies(was, now)
		old, ok := parseCookie(was)
		next, ok2 := parseCookie(now)
		if !ok || !ok2 {
			if got != now {
				t.Errorf("mergeCookies(%q, %q) = %q, want the second", was, now, got)
			}
			return
		}
		merged, ok := parseCookie(got)
		if !ok || merged.behind(old) || merged.behind(next) {
			t.Errorf("mergeCookies(%q, %q) = %q, which is behind", was, now, got)
		}
		if again := mergeCookies(got, now); again != got {
			t.Errorf("merged again: %q, then %q", got, again)
		}
	})
}
