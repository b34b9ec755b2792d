/**
 * The packet path allocates nothing under the V8 of other releases of Node.js, either.
 *
 * Runs alone: memory is measured inside.
 */
import { testOtherReleases } from './other-node.ts';

testOtherReleases('the packet path allocates nothing', ['engine/allocation']);
