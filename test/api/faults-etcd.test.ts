/** The tests of faults.test.ts with the store in etcd. */
import { withEtcd } from '../support/etcd-store.ts';

await withEtcd(() => import('./faults.test.ts'));
