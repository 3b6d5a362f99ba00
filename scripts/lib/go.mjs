/*
 * Options of `go` for programs that run for seconds. Compiling them takes longer than running them,
 * so nothing is optimized, the compiler collects garbage less often, and cgo is off. All such
 * builds share Go's build cache.
 */

export const QUICK_GO = { args: ['-gcflags=all=-N -l'], env: { CGO_ENABLED: '0', GOGC: '400' } };
