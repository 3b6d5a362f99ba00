/*
 * How Go builds a program that runs for seconds: to compile it costs more than to run it, so Go
 * optimizes nothing, rarely collects garbage, and needs no C compiler. All such builds share what
 * Go keeps of them.
 */

export const QUICK_GO = { args: ['-gcflags=all=-N -l'], env: { CGO_ENABLED: '0', GOGC: '400' } };
