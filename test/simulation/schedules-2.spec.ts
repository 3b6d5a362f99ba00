/* The second half of the schedules: two files, so that two workers share them. */

import { describeShard } from './shard.js';

describeShard(1);
