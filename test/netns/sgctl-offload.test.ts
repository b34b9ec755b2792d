/**
 * The tests of sgctl.test.ts with veth pairs and the kernel's fast path: whatever holds without it holds with it.
 *
 * Runs in a box: those make namespaces.
 */
import { withOffload } from './offload-key.ts';

await withOffload(() => import('./sgctl.test.ts'));
