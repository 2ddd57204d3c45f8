/** The seam's tests, held by the native transport. */
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

exchanges('native');
guards('native');
failures('native');
websockets('native');
tls('native');
answers('native');
bodies('native');
