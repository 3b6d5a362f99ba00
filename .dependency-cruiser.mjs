/*
 * The drawing of docs/ARCHITECTURE.md, executable: a folder imports only from lower lines; folders
 * on one line never import each other.
 */
const layers = [
  ['domain'],
  ['protocol', 'config'],
  ['observability'],
  ['templating', 'validation', 'provider', 'state'],
  ['auth', 'turn'],
  ['gateway', 'rest'],
  ['lifecycle', 'cli'],
  ['compose'],
];

const upwards = layers.flatMap((line, i) =>
  line.map((folder) => ({
    name: `${folder}-imports-only-lower-layers`,
    comment: `src/${folder} may import only itself and the layers below it, so that data flows one way`,
    severity: 'error',
    from: { path: `^src/${folder}/` },
    to: {
      path: '^src/',
      pathNot: `^src/(${[folder, ...layers.slice(0, i).flat()].join('|')})/`,
    },
  })),
);

const only = (pkg, home, reason) => ({
  name: `${pkg.replaceAll('/', '-')}-only-in-${home.replaceAll('/', '-')}`,
  comment: reason,
  severity: 'error',
  from: { path: '^src/', pathNot: `^src/${home}/` },
  to: { path: `node_modules/${pkg}/` },
});

/** @type {import('dependency-cruiser').IConfiguration} */
export default {
  forbidden: [
    ...upwards,
    {
      name: 'a-turn-knows-no-socket',
      comment: 'a turn writes to its log and nothing else; who watches is not its business',
      severity: 'error',
      from: { path: '^src/turn/' },
      to: { path: '^src/(protocol|gateway|rest)/' },
    },
    {
      name: 'a-socket-takes-no-short-cut',
      comment: 'what a viewer sees has passed the log; the edges never touch what makes the text',
      severity: 'error',
      from: { path: '^src/(gateway|rest)/' },
      to: { path: '^src/(provider|templating|validation)/' },
    },
    {
      name: 'state-contracts-import-no-store',
      comment: 'the contracts of state and follow work with any store; memory and redis implement them',
      severity: 'error',
      from: { path: '^src/state/([^/]+$|follow/)' },
      to: { path: '^src/state/(memory|redis)/' },
    },
    {
      name: 'domain-is-pure',
      comment: 'nouns and their rules: no framework, no I/O',
      severity: 'error',
      from: { path: '^src/domain/' },
      to: { pathNot: '^src/domain/' },
    },
    only('ws', 'gateway', 'one folder knows the socket library'),
    only('ioredis', 'state/redis/connection', 'one folder knows the Redis client'),
    only('openai', 'provider/openai', 'one folder knows the provider SDK'),
    only('@opentelemetry', 'observability', 'one folder knows the tracing library'),
    only('prom-client', 'observability', 'one table holds every metric'),
    {
      name: 'no-cycles',
      comment: 'a cycle has no first file to read',
      severity: 'error',
      from: { path: '^(src|client)/' },
      to: { circular: true },
    },
    {
      name: 'src-knows-no-tests',
      comment: 'shipped code must not lean on what is not shipped',
      severity: 'error',
      from: { path: '^(src|client)/' },
      to: { path: '^(test|bench)/' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      extensions: ['.ts', '.js', '.mjs'],
      conditionNames: ['import', 'node', 'default'],
      exportsFields: ['exports'],
    },
  },
};
