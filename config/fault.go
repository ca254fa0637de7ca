package config

import "lockstep/internal/fault"

// Fault is one thing wrong with a configuration. Its texts hold no value of a
// setting that is or could be a secret, and no line of the file.
type Fault = fault.Fault

// Faults are all the faults of one configuration, in the order of the file;
// those without a line come last.
type Faults = fault.Faults
