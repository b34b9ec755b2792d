/**
 * The tests of veth.test.ts with the kernel's fast path: whatever holds without it holds with it.
 *
 * Runs in a box: those make namespaces.
 */
import { withOffload } from './offload-key.ts';

await withOffload(() => import('./veth.test.ts'));
