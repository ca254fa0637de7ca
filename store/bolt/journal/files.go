package journal

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Files returns the numbers of the segments of the log at base, in order. A
// file that has such a name and no such number is an error.
func Files(base string) ([]uint64, error) {
	entries, err := os.ReadDir(filepath.Dir(base))
	if err != nil {
		return nil, fmt.Errorf("look for the log of %s: %w", base, err)
	}
	var numbers []uint64
	for _, e := range entries {
		digits, ok := strings.CutPrefix(e.Name(), filepath.Base(base)+".log-")
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(digits, 10, 64)
		if err != nil || filepath.Base(Path(base, n)) != e.Name() {
			return nil, fmt.Errorf("%s: not a name of a log; move it away", filepath.Join(filepath.Dir(base), e.Name()))
		}
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	return numbers, nil
}

// Remove removes the segments of the log at base up to the given number, the
// oldest first. The last one goes when the names of those before it are gone
// for good: what a power cut leaves is always the end of the log.
func Remove(base string, through uint64) error {
	numbers, err := Files(base)
	if err != nil {
		return err
	}
	numbers = slices.DeleteFunc(numbers, func(n uint64) bool { return n > through })
	for i, n := range numbers {
		if i > 0 && i == len(numbers)-1 {
			if err := syncDir(filepath.Dir(base)); err != nil {
				return fmt.Errorf("remove log of %s: %w", base, err)
			}
		}
		if err := os.Remove(Path(base, n)); err != nil {
			return fmt.Errorf("remove log of %s: %w", base, err)
		}
	}
	if len(numbers) == 0 {
		return nil
	}
	if err := syncDir(filepath.Dir(base)); err != nil {
		return fmt.Errorf("remove log of %s: %w", base, err)
	}
	return nil
}

// RemoveBlanks removes what a process that was killed has left of Blanks.
// Nobody else may be using the log.
func RemoveBlanks(base string) {
	entries, _ := os.ReadDir(filepath.Dir(base))
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), blankPrefix(base)) {
			_ = os.Remove(filepath.Join(filepath.Dir(base), e.Name()))
		}
	}
}
