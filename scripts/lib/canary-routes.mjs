/*
 * The routes of a VirtualService for a canary that gets a share of the clients, as a merge patch:
 * hosts and gateways are unchanged. Without a share there is no canary. k8s/components/istio and
 * k8s/components/istio-canary hold the same routes, with 10.
 *   node canary-routes.mjs support-bot 10
 */

import process from 'node:process';

const [app, percent = '0'] = process.argv.slice(2);
const share = Number(percent);
const to = (subset, weight) => ({ destination: { host: app, subset }, ...(weight === undefined ? {} : { weight }) });
/** No time limit for sockets and streams. */
const route = (name, ...routes) => ({ name, timeout: '0s', route: routes });
const http =
  share === 0
    ? [route('all', to('stable'))]
    : [
        {
          ...route('beta', to('canary')),
          // A browser cannot set headers on a WebSocket.
          match: [{ headers: { 'user-type': { exact: 'beta' } } }, { queryParams: { track: { exact: 'beta' } } }],
        },
        route('weighted', to('stable', 100 - share), to('canary', share)),
      ];
process.stdout.write(JSON.stringify({ spec: { http } }));
