/** The seam's tests, held by uWebSockets.js and undici. */
import { after } from 'node:test';
import { closeLanes } from './lane-under-test.ts';
import { answers } from './suites/answers.ts';
import { bodies } from './suites/bodies.ts';
import { exchanges } from './suites/exchanges.ts';
import { failures } from './suites/failures.ts';
import { guards } from './suites/guards.ts';
import { tls } from './suites/tls.ts';
import { websockets } from './suites/websockets.ts';

after(closeLanes);

exchanges('uws');
guards('uws');
failures('uws');
websockets('uws');
tls('uws');
answers('uws');
bodies('uws');
