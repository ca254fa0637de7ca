package bolt

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"lockstep/store/storetest"
)

const asQuota = "LOCKSTEP_BOLT_QUOTA"

// A quota refuses a large segment with an error of its own, and has room for small
// ones: claims go on.
func TestQuota(t *testing.T) {
	if os.Getenv(asQuota) == "" {
		// In a process of its own: what quota does cannot be taken back.
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		child := exec.Command(self, "-test.run=^TestQuota$", "-test.v")
		child.Env = append(os.Environ(), asQuota+"=1")
		if out, err := child.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	s := open(t, filepath.Join(t.TempDir(), "state.db"), Options{Now: secondsClock(),
		limits: limits{first: 4 << 10, segment: 1 << 20, table: 1 << 20, chunk: 100}})
	quota(t, 32<<10)
	for step := range int64(100) {
		if err := storetest.Claim(t.Context(), s, fmt.Sprint("user", step%20), step+1); err != nil {
			t.Fatalf("claim %d: %v", step, err)
		}
	}
	if s.number < 5 {
		t.Errorf("%d segments: none can have been refused", s.number)
	}
}

// quota has the kernel answer EDQUOT, as file systems with quotas do, to whoever
// allocates over most bytes at once, in all of this process.
func quota(t *testing.T, most uint32) {
	t.Helper()
	const load, equal, greater, end = 0x20, 0x15, 0x25, 0x06
	const number, length = 0, 16 + 8*3 // of the call, and the lower half of its fourth argument
	filter := []unix.SockFilter{
		{Code: load, K: number},
		{Code: equal, K: unix.SYS_FALLOCATE, Jf: 3},
		{Code: load, K: length},
		{Code: greater, K: most, Jf: 1},
		{Code: end, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EDQUOT)},
		{Code: end, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	runtime.LockOSThread() // TSYNC gives both to all others
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	if _, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program))); e != 0 {
		t.Fatal(e)
	}
}
