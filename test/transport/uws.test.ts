/** The seam's tests, held by uWebSockets.js and undici. */
import { bodies } from './suites/bodies.ts';
import { exchanges } from './suites/exchanges.ts';
import { failures } from './suites/failures.ts';

exchanges('uws');
failures('uws');
bodies('uws');
