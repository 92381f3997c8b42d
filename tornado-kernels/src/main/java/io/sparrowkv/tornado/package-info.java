/** The Top-K encoder on any device that TornadoVM reaches: kernels as static Java methods, task graphs, devices. */
package io.sparrowkv.tornado;
