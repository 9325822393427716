#!/usr/bin/env node
// The driver protocol (docs/driver.md): one request a line in, one answer a line out.

import { serve } from './src/driver.js';

await serve(process.stdin, process.stdout);
process.exit(0);
