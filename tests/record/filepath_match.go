// Records what Go's filepath.Match answers: `go run tests/record/filepath_match.go > src/input/glob_table.txt`.
//
// A line is a pattern, a tab, and a letter for each name of the first line: t (matches), f (does not),
// e (the pattern is malformed).
package main

import (
	"bufio"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
)

var names = []string{"a", "b", "ab", "ba", "aab", "-", "]", "[", "^", "\\", "a-b", "*", "é", "aé", "!a", "abab"}

func main() {
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	fmt.Fprintf(out, "\t%s\n", strings.Join(names, "\t"))
	tell := func(pattern string) {
		var answers strings.Builder
		for _, name := range names {
			switch ok, err := filepath.Match(pattern, name); {
			case err != nil:
				answers.WriteByte('e')
			case ok:
				answers.WriteByte('t')
			default:
				answers.WriteByte('f')
			}
		}
		fmt.Fprintf(out, "%s\t%s\n", pattern, answers.String())
	}
	parts := []string{"a", "b", "*", "?", "[", "]", "^", "-", "\\"}
	var all func(prefix string, left int)
	all = func(prefix string, left int) {
		if left == 0 {
			tell(prefix)
			return
		}
		for _, part := range parts {
			all(prefix+part, left-1)
		}
	}
	for length := 1; length <= 3; length++ {
		all("", length)
	}
	// Longer ones: a sample, of pieces that are right more often than not.
	pieces := append(parts, "[a-b]", "[^a]", "[ab]", "\\*", "[\\]]", "é", "[é-ü]", "!", "**", "[!a]", "{a,b}")
	random := rand.New(rand.NewSource(1))
	for count := 0; count < 1500; count++ {
		var pattern strings.Builder
		for length := 2 + random.Intn(5); length > 0; length-- {
			pattern.WriteString(pieces[random.Intn(len(pieces))])
		}
		tell(pattern.String())
	}
}
