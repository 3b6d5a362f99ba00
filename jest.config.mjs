/* The suites, one jest project each: `npm test` runs all, `npx jest --selectProjects unit` one. */
const project = (name, testMatch) => ({
  displayName: name,
  testMatch: testMatch.map((glob) => `<rootDir>/test/${glob}`),
  extensionsToTreatAsEsm: ['.ts'],
  moduleNameMapper: { '^(\\.{1,2}/.*)\\.js$': '$1' },
  transform: { '^.+\\.ts$': '@swc/jest' },
  setupFiles: ['reflect-metadata'],
  // What was built has the names of what it was built from.
  modulePathIgnorePatterns: ['<rootDir>/dist/'],
  testEnvironment: 'node',
});

export default {
  projects: [
    project('unit', ['unit/**/*.spec.ts']),
    project('simulation', ['simulation/**/*.spec.ts']),
    project('contract', ['contract/**/*.spec.ts']),
    project('conformance', ['conformance/**/*.spec.ts']),
    project('fuzz', ['fuzz/**/*.spec.ts']),
    project('official', ['official/**/*.spec.ts']),
    project('languages', ['languages/**/*.spec.ts']),
    project('providers', ['providers/**/*.spec.ts']),
    project('browser', ['browser/**/*.spec.ts']),
    project('chaos', ['chaos/**/*.spec.ts']),
    project('operations', ['operations/**/*.spec.ts']),
    project('system', ['system/**/*.spec.ts']),
  ],
  reporters: ['default', '<rootDir>/scripts/lib/progress-reporter.mjs'],
  testSequencer: '<rootDir>/scripts/lib/longest-first.mjs',
  // A bound against a hang, not a measure of speed: no test takes a tenth of it on a quiet machine.
  testTimeout: 300_000,
  // Each file leaves about 10 MB behind in its worker: a full heap costs more CPU than a new
  // worker.
  workerIdleMemoryLimit: '400MB',
};
