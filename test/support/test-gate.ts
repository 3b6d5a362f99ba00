/* The request gate of a test's own server, with room for everything. */

import { type Authenticator } from '../../src/auth/authenticator.js';
import { type OriginPolicy } from '../../src/auth/origin.js';
import { BodyRoom } from '../../src/rest/body-room.js';
import { HttpConnections } from '../../src/rest/http-connections.js';
import { OpenAnswers } from '../../src/rest/open-answers.js';
import { RefusalBudget } from '../../src/rest/refusal-budget.js';
import { type RequestGateParts } from '../../src/rest/request-gate.js';
import { type RouteTable } from '../../src/rest/route-table.js';

export function testGate(authenticator: Authenticator, routes: RouteTable, origins: OriginPolicy): RequestGateParts {
  return {
    authenticator,
    origins,
    routes,
    refusals: new RefusalBudget({ perMinute: 100_000 }),
    bodies: new BodyRoom({ maxBytes: 67_108_864 }),
    connections: new HttpConnections({ max: 1_000 }),
    answers: new OpenAnswers(),
    maxBodyBytes: 1_048_576,
    audit: null,
  };
}
