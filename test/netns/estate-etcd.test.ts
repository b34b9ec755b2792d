/**
 * The tests of estate.test.ts with the store in etcd.
 *
 * Runs in a box: those make namespaces.
 */
import { withEtcd } from '../support/etcd-store.ts';

await withEtcd(() => import('./estate.test.ts'));
