#pragma OPENCL EXTENSION cl_khr_fp64 : enable  
#pragma OPENCL EXTENSION cl_khr_fp16 : enable  
#pragma OPENCL EXTENSION cl_khr_int64_base_atomics : enable  
__kernel void touch(__global long *_kernel_context, __constant uchar *_constant_region, __local uchar *_local_region, __global int *_atomics, __global uchar *weights, __global uchar *touched, __private int mark)
{
  int i_5, i_2, i_4, i_15; 
  float f_10; 
  uint ui_7; 
  ulong ul_9, ul_6, ul_8, ul_1, ul_3, ul_14, ul_0; 
  long l_12, l_11, l_13; 

  // BLOCK 0
  ul_0  =  (ulong) weights;
  ul_1  =  (ulong) touched;
  i_2  =  get_global_size(0);
  ul_3  =  ul_0 + 16L;
  i_4  =  get_global_id(0);
  // BLOCK 1 MERGES [0 2 ]
  i_5  =  i_4;
  for(;i_5 < 1;)
  {
    // BLOCK 2
    ul_6  =  ul_0 + 16L;
    ui_7  =  *((__global uint *) ul_6);
    ul_8  =  ul_0 + ((ulong) ui_7 << 3);
    ul_9  =  ul_8 + 64016L;
    f_10  =  *((__global float *) ul_9);
    l_11  =  (long) i_5;
    l_12  =  l_11 + 4L;
    l_13  =  l_12 << 2;
    ul_14  =  ul_1 + l_13;
    *((__global float *) ul_14)  =  f_10;
    i_15  =  i_2 + i_5;
    i_5  =  i_15;
  }  // B1
  // BLOCK 3
  return;
}  //  kernel
